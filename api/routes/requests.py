"""What every route reads from a request: its services, its trace id, its body as it arrives."""

from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar, cast

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.exceptions import MethodNotAllowedException
from litestar.routes import HTTPRoute

from api.access.authorised import CALLER, CLIENT
from api.errors import InvalidRequest, UnsupportedMediaType
from api.messages.body import decode_json, read_body
from api.observed import TRACE_ID
from api.services import Services

SERVICES = "services"
"""Name of the dependency, and of the application state that holds it."""

_ANSWERED_ALWAYS: Final = "answered_always"
ANSWERED_ALWAYS: Final = {_ANSWERED_ALWAYS: True}
"""Options of a route that is answered whatever this process is short of: it needs little, and tells of the shortage."""

JSON_TYPES: Final = frozenset({"application/json"})

T = TypeVar("T")

ServicesDependency = NamedDependency[Services]
AnyRequest = Request[Any, Any, State]


def provide_services(state: State) -> Services:
    """The services that start-up opened."""
    return cast("Services", state[SERVICES])


async def before_request(request: AnyRequest) -> None:
    """Refuse a request that too little is left for, before anything of its body is read.

    Raises:
        ResourceShortage: of memory or file handles.
        MethodNotAllowedException: it is OPTIONS, which the framework would answer with some of the methods only.
    """
    if request.method == HttpMethod.OPTIONS:
        raise MethodNotAllowedException(headers={"allow": ", ".join(_methods(request))})
    if _ANSWERED_ALWAYS not in request.route_handler.opt:
        provide_services(request.app.state).resources.admit()


def _methods(request: AnyRequest) -> list[str]:
    """What the address of a request takes."""
    template = request.scope["path_template"]
    routes = (route for route in request.app.routes if route.path == template and isinstance(route, HTTPRoute))
    return sorted({method for route in routes for method in route.methods} - {HttpMethod.OPTIONS})


def trace_id(request: AnyRequest) -> str:
    """The request's trace id, 32 hex digits."""
    return cast("str", request.scope["state"][TRACE_ID])


def caller(request: AnyRequest) -> str:
    """Who asks: the prefix of the key, or `anonymous`."""
    return cast("str", request.scope["state"][CALLER])


def client(request: AnyRequest) -> str:
    """Whose the request is, for what is shared among clients."""
    return cast("str", request.scope["state"][CLIENT])


async def read_json(request: AnyRequest, request_type: type[T], limit: int) -> T:
    """A body of JSON, which must say that it is: a page of another site cannot send that without asking us first.

    Args:
        request: with the body.
        request_type: of what it says.
        limit: bytes.

    Raises:
        UnsupportedMediaType: it says that it is something else.
        RequestTooLarge: it is larger than that.
        InvalidRequest: naming the field to blame where there is one.
    """
    require_media_type(request, JSON_TYPES)
    return decode_json(await read_body(body_chunks(request), limit), request_type)


def require_media_type(request: AnyRequest, accepted: frozenset[str]) -> str:
    """The content type, which must be given: a page of another site cannot send these without asking us first.

    Raises:
        UnsupportedMediaType: it is none of these.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in accepted:
        raise UnsupportedMediaType(f"content-type must be {' or '.join(sorted(accepted))}, got {given[:64]!r}")
    return given


async def body_chunks(request: AnyRequest) -> AsyncIterator[bytes]:
    """The body as it arrives; the framework's own stream calls a client that went away an error of the server.

    Raises:
        InvalidRequest: the client went away before the end.
    """
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise InvalidRequest("", "the body was cut off")
        if message["body"]:
            yield message["body"]
        if not message["more_body"]:
            return
