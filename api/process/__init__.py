"""The process: its port, its workers, and the HTTP protocol with an end to its patience."""
