"""What schemathesis must know to send this API everything that it takes; loaded by name, from its environment."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """A body of lines as it is, since the schema calls it text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
