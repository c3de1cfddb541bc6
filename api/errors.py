"""Errors of the API itself, named by what the client must do about them.

ApiFault
├── InvalidRequest        change the named field
├── UnsupportedMediaType  send another content type
├── RequestTooLarge       send less
├── HeadTooLarge          send a shorter address, or fewer headers
├── Unauthenticated       send a key that holds
├── Forbidden             send a key that may do this
├── TooManyRequests       make fewer requests
├── DocumentNotFound      there is no such document
├── NoSuchItem            there is nothing of this name
├── Conflict              wait, or change the state of the system first
├── IndexUnavailable      an index does not answer: try again later
├── Overloaded            try again later: too many requests run
└── SearchUnavailable     no search method could answer: try again later

More are raised where the API wraps a backend, and are the backend's own to everybody else: BackendFailed and
BreakerOpen are BackendUnavailable (answer without it), Behind is DeadlineExceeded (it has not read far enough).
"""

import math
from collections.abc import Mapping

from indexer.errors import BackendUnavailable, DeadlineExceeded
from streams.errors import EmbedSearchError


class ApiFault(EmbedSearchError):
    """Whatever the API raises on purpose."""


class InvalidRequest(ApiFault):
    """A request breaks a rule of the contract.

    Args:
        field: name of the offending field or parameter; empty when the request as a whole is to blame.
        detail: what is wrong with it and which limit it broke.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail


class UnsupportedMediaType(ApiFault):
    """The content type is not one this route reads."""


class RequestTooLarge(ApiFault):
    """The body, or a line of it, is beyond its limit."""


class HeadTooLarge(ApiFault):
    """Address and headers are beyond their limit.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"address and headers may have {limit} bytes together")


class Unauthenticated(ApiFault):
    """The request has no key and needs one, or its key is wrong.

    Args:
        detail: which of the two.
        presented: whether it came with a key.
    """

    def __init__(self, detail: str, *, presented: bool) -> None:
        super().__init__(detail)
        self.presented = presented


class Forbidden(ApiFault):
    """The key is good, but not for this.

    Args:
        scope: that it lacks.
    """

    def __init__(self, scope: str) -> None:
        super().__init__(f"the key lacks the scope {scope}")
        self.scope = scope


class TooManyRequests(ApiFault):
    """The client has made more requests than it may.

    Args:
        seconds: until it may make the next one.
        headers: that tell its limit.
    """

    def __init__(self, seconds: float, headers: Mapping[str, str]) -> None:
        super().__init__(f"too many requests; the next one is welcome in {math.ceil(seconds)} s")
        self.seconds = seconds
        self.headers = dict(headers)


class DocumentNotFound(ApiFault):
    """No index that could be asked holds the document.

    Args:
        document_id: what was asked for.
        unasked: why an index could not be asked, by its name.
    """

    def __init__(self, document_id: str, unasked: Mapping[str, str]) -> None:
        super().__init__(f"there is no document {document_id!r}")
        self.unasked = dict(unasked)


class NoSuchItem(ApiFault):
    """There is nothing of the name that a client gave, and the message says what was looked for."""


class Conflict(ApiFault):
    """What was asked for cannot be done as things are, and the message says why."""


class IndexUnavailable(ApiFault):
    """An index, or its catalogue of generations, does not answer.

    Args:
        index: its name.
        reason: why not.
    """

    def __init__(self, index: str, reason: str) -> None:
        super().__init__(f"{index}: {reason}")
        self.index = index
        self.reason = reason


class Overloaded(ApiFault):
    """As many requests run, and wait for their turn, as there may."""


class SearchUnavailable(ApiFault):
    """No search method could answer.

    Args:
        reasons: why not, by method.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("no search method could answer")
        self.reasons = dict(reasons)


class BackendFailed(BackendUnavailable):
    """A backend failed in a way that it does not know itself: a defect, or a panic in native code."""


class BreakerOpen(BackendUnavailable):
    """A backend was not called, because it failed too often of late or an operator said so."""


class Behind(DeadlineExceeded):
    """An index has not read as far as the client's token, and the time to wait for it is up."""
