"""The outermost layer: trace, metrics, headers and the last resort of every HTTP request.

The framework runs its own hooks on successful answers only (litestar issue 4531), so what must hold for every answer
is done around the framework.
"""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseStartEvent, HTTPScope, Message, Receive, Scope, Send
from opentelemetry.trace import Span, SpanKind, StatusCode

from api.access.audit import UNKNOWN, audit
from api.access.authorised import CALLER
from api.messages.problems import problem_reply
from indexer.deadline import Clock
from streams.metrics import Metrics
from streams.tracing import Tracer, trace_id_of

TRACE_ID: Final = "trace_id"
"""Where a request's state holds its trace id."""

TRACE_HEADER: Final = "x-trace-id"

_TRACE_CONTEXT: Final = frozenset({b"traceparent", b"tracestate"})

_HEADERS: Final[Mapping[bytes, bytes]] = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
"""Headers of every answer that does not set its own."""


class ObservedApp:
    """An ASGI application whose every HTTP answer is traced, counted and dressed.

    Args:
        app: the application within.
        tracer: makes the spans.
        metrics: of this process.
        clock: a monotonic clock.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer, metrics: Metrics, *, clock: Clock = time.monotonic) -> None:
        self._app = app
        self._tracer = tracer
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        attributes = {"http.request.method": scope["method"]}
        with (
            self._tracer.span(scope["method"], _carrier(scope), kind=SpanKind.SERVER, attributes=attributes) as span,
            structlog.contextvars.bound_contextvars(trace_id=trace_id_of(span)),
        ):
            await self._serve(scope, receive, send, span)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send, span: Span) -> None:
        began, trace_id = self._clock(), trace_id_of(span)
        state: dict[str, Any] = scope.setdefault("state", {})
        state[TRACE_ID] = trace_id
        answer = _Answer(send, trace_id)
        try:
            await self._app(scope, receive, answer.send)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            if answer.status:
                raise
            await _send_problem(exc, trace_id, answer.send)
        finally:
            route: str = scope.get("path_template") or "unmatched"
            self._metrics.responded(route, answer.status, self._clock() - began)
            audit(scope, state.get(CALLER, UNKNOWN), answer.status)
            _describe(span, f"{scope['method']} {route}", route, answer.status)


def _describe(span: Span, name: str, route: str, status: int) -> None:
    """Name a request's span, now that its route is known."""
    span.update_name(name)
    span.set_attributes({"http.route": route, "http.response.status_code": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


class _Answer:
    """Remembers the status of an answer and adds the headers it must have."""

    def __init__(self, send: Send, trace_id: str) -> None:
        self._send = send
        self._trace_id = trace_id
        self.status = 0
        """0 until the answer began."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._dressed(message)
        await self._send(message)

    def _dressed(self, message: HTTPResponseStartEvent) -> list[tuple[bytes, bytes]]:
        headers = list(message["headers"])
        given = {name.lower() for name, _ in headers}
        headers += [(name, value) for name, value in _HEADERS.items() if name not in given]
        headers.append((TRACE_HEADER.encode(), self._trace_id.encode()))
        return headers


async def _send_problem(error: BaseException, trace_id: str, send: Send) -> None:
    reply = problem_reply(error, trace_id)
    body = reply.body()
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": reply.problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _carrier(scope: HTTPScope) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _TRACE_CONTEXT}
