"""Who may do what, and how much of it at a time: keys, scopes, rates, admission, the audit log."""
