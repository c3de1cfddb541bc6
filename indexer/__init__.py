"""Turns changes of the topic into searchable generations; a backend is one folder: format, writer and searcher."""
