"""`/`, `/admin` and `/pages/…`: the pages for people."""

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from api.access.authorised import REFUSAL
from api.messages.problems import problem_reply
from api.pages.files import ADMIN, SEARCH, PageFile
from api.routes.requests import ANSWERED_ALWAYS, AnyRequest, ServicesDependency, trace_id

_NOT_MODIFIED = 304
_CHALLENGE = "www-authenticate"


@get("/", opt=ANSWERED_ALWAYS)
async def search_page(request: AnyRequest, services: ServicesDependency) -> Response[bytes]:
    """The search page."""
    return _page(request, services.pages[SEARCH])


@get("/admin", opt=ANSWERED_ALWAYS)
async def admin_page(request: AnyRequest, services: ServicesDependency) -> Response[bytes]:
    """The administration page."""
    return _page(request, services.pages[ADMIN])


@get("/pages/{name:str}", opt=ANSWERED_ALWAYS)
async def page_file(request: AnyRequest, services: ServicesDependency, name: FromPath[str]) -> Response[bytes]:
    """A script, a style or an image of the pages."""
    file = services.pages.get(name)
    if file is None or name in {SEARCH, ADMIN}:
        raise NotFoundException
    return _file(request, file)


def _page(request: AnyRequest, page: PageFile) -> Response[bytes]:
    """The page; to whoever may not see what it would show, with the status that says so: it asks for the key then."""
    refusal = request.scope["state"].get(REFUSAL)
    if refusal is None:
        return _file(request, page)
    reply = problem_reply(refusal, trace_id(request))
    headers = {**page.headers(), "cache-control": "no-store", _CHALLENGE: reply.headers[_CHALLENGE]}
    return Response(page.body, media_type=page.media_type, headers=headers, status_code=reply.problem.status)


def _file(request: AnyRequest, file: PageFile) -> Response[bytes]:
    if file.is_held(request.headers.get("if-none-match", "")):
        return Response(b"", headers=file.headers(), status_code=_NOT_MODIFIED)
    return Response(file.body, media_type=file.media_type, headers=file.headers())
