"""Our own engines beside what people use today: one folder, one run, the same queries."""
