"""Follows what was published into the indexes, as far as the API says they have read."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx

from infra.local.key import KEY_VARIABLE, key_header
from infra.supervisor.service import StartError
from streams.settings import METHODS
from streams.watermark import Token

Progress = Callable[[str, float], None]
"""Told of a step's name and how much of it is done, from 0 to 1."""

_POLL_SECONDS: Final = 0.5
_HTTP_SECONDS: Final = 5.0
_REFUSALS: Final = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})


async def follow(url: str, token: Token, on_progress: Progress) -> None:
    """Wait until every index has read up to a token; it has no time limit, for an embedder may take hours.

    Args:
        url: of the API.
        token: what to wait for.
        on_progress: told of each index by name.

    Raises:
        StartError: the API does not tell us.
    """
    async with httpx.AsyncClient(timeout=_HTTP_SECONDS, trust_env=False, headers=key_header()) as http:
        while True:
            shares = await _shares(http, url, token)
            for index, share in shares.items():
                on_progress(index, share)
            if shares and min(shares.values()) >= 1.0:
                return
            await asyncio.sleep(_POLL_SECONDS)  # between two looks at a condition that nothing announces


async def _shares(http: httpx.AsyncClient, url: str, token: Token) -> dict[str, float]:
    """How much of the token each index has; empty while the API does not answer."""
    try:
        response = await http.get(f"{url}/health")
        health = response.json()
    except (httpx.TransportError, ValueError):
        return {}
    if response.status_code in _REFUSALS:
        raise StartError(f"the API does not say how far its indexes are: {health['detail']}; set {KEY_VARIABLE}")
    components = health["components"].items()
    return {name: _share(part.get("details") or {}, token) for name, part in components if name in METHODS}


def _share(details: dict[str, Any], token: Token) -> float:
    read = details.get("watermark", {}).get(token.topic, {})
    wanted = sum(token.offsets.values())
    return sum(min(read.get(str(p), 0), offset) for p, offset in token.offsets.items()) / wanted if wanted else 1.0
