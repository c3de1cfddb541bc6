"""Errors, named by what the caller must do about them.

EmbedSearchError
├── SettingsError           fix the named setting, then start again
├── InvalidDocument         fix the named field of the document, then publish again
├── UndecodableRecord       the record can never be indexed: send it to the dead letters and go on
├── InvalidToken            the consistency token is not one of ours: ask for a new one
├── StreamUnavailable       Kafka does not answer: wait and try again
└── StreamMismatch          an index's watermark does not belong to this topic: rebuild the index
"""


class EmbedSearchError(Exception):
    """Whatever this project raises on purpose."""


class SettingsError(EmbedSearchError):
    """A setting is unknown, malformed or contradicts another one."""


class InvalidDocument(EmbedSearchError):
    """A document breaks a rule of the contract.

    Args:
        field: name of the offending field, as the producer wrote it.
        detail: what is wrong with it and which limit it broke.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class UndecodableRecord(EmbedSearchError):
    """A Kafka record that can never become a change of an index.

    Args:
        kind: stable error class for headers and metrics, such as `not-json`.
        detail: the reason in words.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class InvalidToken(EmbedSearchError):
    """A consistency token that this system did not issue."""


class StreamUnavailable(EmbedSearchError):
    """Kafka did not answer within the time allowed."""


class StreamMismatch(EmbedSearchError):
    """A watermark was read from another topic than the one that is there now."""
