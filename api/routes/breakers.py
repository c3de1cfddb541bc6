"""`/admin/breakers`: what the circuit breakers know, and the operator's word over them."""

import os

from litestar import get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from api.backends.breaker import BreakerReport
from api.backends.breaker_orders import Order
from api.messages.responses import BreakersResponse
from api.routes.requests import ServicesDependency
from api.services import Services


@get("/admin/breakers")
async def list_breakers(services: ServicesDependency) -> BreakersResponse:
    """The breakers of the worker that answers."""
    return BreakersResponse(os.getpid(), {method: breaker.report() for method, breaker in services.breakers.items()})


@post("/admin/breakers/{method:str}/open", status_code=200)
async def open_breaker(services: ServicesDependency, method: FromPath[str]) -> BreakerReport:
    """Keep a method from being called, by any worker, until it is reset."""
    return await _order(services, method, "open")


@post("/admin/breakers/{method:str}/reset", status_code=200)
async def reset_breaker(services: ServicesDependency, method: FromPath[str]) -> BreakerReport:
    """Let a method be called again, by all workers."""
    return await _order(services, method, "reset")


async def _order(services: Services, method: str, order: Order) -> BreakerReport:
    breaker = services.breakers.get(method)
    if breaker is None:
        raise NotFoundException
    return await breaker.order(order)
