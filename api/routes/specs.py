"""`/openapi.json`, `/asyncapi.json` and `/docs`: what this API and its event stream are, for programs and people."""

from litestar import MediaType, Response, get

from api.description.operation import HTML
from api.routes.requests import ANSWERED_ALWAYS, ServicesDependency


@get("/openapi.json", opt=ANSWERED_ALWAYS)
async def openapi(services: ServicesDependency) -> Response[bytes]:
    """This API in OpenAPI 3.1."""
    return Response(services.specs.openapi, media_type=MediaType.JSON)


@get("/asyncapi.json", opt=ANSWERED_ALWAYS)
async def asyncapi(services: ServicesDependency) -> Response[bytes]:
    """The topics in AsyncAPI 3.0."""
    return Response(services.specs.asyncapi, media_type=MediaType.JSON)


@get("/docs", opt=ANSWERED_ALWAYS)
async def docs(services: ServicesDependency) -> Response[bytes]:
    """The OpenAPI document for people; needs nothing from the internet."""
    headers = {"content-security-policy": services.specs.docs_policy}
    return Response(services.specs.docs, media_type=HTML, headers=headers)
