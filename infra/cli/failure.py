"""A failure that a person can read: its message is all that is printed."""


class CommandFailed(Exception):
    """The command could not do what it was asked; the message says why and what to do."""
