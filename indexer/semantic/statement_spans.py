"""Shows each statement that PostgreSQL is given as a span: its text, and never its values."""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from streams.tracing import Tracer


@contextlib.asynccontextmanager
async def statement_spans(connection: Any, tracer: Tracer | None) -> AsyncIterator[None]:  # noqa: ANN401 - asyncpg ships no types
    """Show the statements of a connection as spans within the current one, for as long as the block runs."""
    if tracer is None or not tracer.exports:
        yield
        return

    def show(statement: Any) -> None:  # noqa: ANN401 - see above
        # Told when it has ended; asyncpg keeps the context of whoever ran it.
        span = tracer.begin(
            statement.query.split(maxsplit=1)[0].rstrip(";").upper(),
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.query.text": statement.query},
            start_ns=time.time_ns() - int(statement.elapsed * 1e9),
        )
        if statement.exception is not None:
            span.set_status(StatusCode.ERROR, type(statement.exception).__name__)
        span.end()

    with connection.query_logger(show):
        yield
