"""What stops set-up, worded for the person who typed `make setup`."""


class SetupError(Exception):
    """A step failed; the message says what to do, and running set-up again continues from here."""
