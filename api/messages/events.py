"""Server-sent events, as the HTML standard has them (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from typing import Any, Final, Literal

import msgspec

EventName = Literal["backend", "result", "problem"]

STILL_HERE: Final = b": still searching\n\n"
"""A comment, which clients pass over; it keeps what lies between from closing a connection on which nothing comes."""


def event(name: EventName, data: Any) -> bytes:  # noqa: ANN401 - whatever msgspec encodes
    """One event.

    Args:
        name: by which clients listen for it.
        data: what it carries; JSON has no line breaks outside of texts, which escape theirs, so it is one line.
    """
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
