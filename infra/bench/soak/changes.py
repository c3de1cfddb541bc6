"""A constant stream of changes through the API: documents that come, are replaced, and go.

As many go as come, so that the system holds as much after a day as after a minute, and what grows is not the corpus.
"""

import asyncio
import time
from collections import Counter
from typing import Final

import httpx
import msgspec

from indexer.stopping import wait_or_stop
from infra.bench.soak.queries import Queries
from infra.local.key import key_header

_KEPT: Final = 40
"""Documents that there are at a time, of those that come and go."""

_PATIENCE_SECONDS: Final = 30.0
_MOST_AT_A_TIME: Final = 32
_WORDS: Final = 12
_SOURCE: Final = "soak"


class Change(msgspec.Struct, frozen=True):
    """One change.

    Attributes:
        document: its number.
        version: of its text; None deletes it.
    """

    document: int
    version: int | None


def change(number: int) -> Change:
    """A change by its number: in turns a new document, another text for one that is there, and the oldest one's end."""
    turn, kind = divmod(number, 3)
    oldest = max(0, turn - _KEPT)
    match kind:
        case 0:
            return Change(turn, number)
        case 1:
            return Change((oldest + turn + 1) // 2, number)
        case _:
            return Change(turn, number) if turn < _KEPT else Change(oldest, None)


class Changes:
    """Sends changes at a constant rate, and counts what became of them.

    Args:
        url: of the API.
        queries: whose words make the texts.
        rate: changes a second.

    Attributes:
        outcomes: how many there were of each, `accepted` being the good one.
    """

    def __init__(self, url: str, queries: Queries, rate: float) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=_PATIENCE_SECONDS,
            trust_env=False,
            headers=key_header(),
            limits=httpx.Limits(max_connections=_MOST_AT_A_TIME),
        )
        self._queries = queries
        self._rate = rate
        self.outcomes: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop, and wait for the answers."""
        began = time.monotonic()
        number = 0
        async with self._http, asyncio.TaskGroup() as group:
            while not stop.is_set():
                group.create_task(self._send(change(number)))
                number += 1
                await wait_or_stop(stop, began + number / self._rate - time.monotonic())

    async def _send(self, change: Change) -> None:
        path = f"/documents/soak-{change.document}"
        try:
            if change.version is None:
                response = await self._http.delete(path)
            else:
                response = await self._http.put(path, json=self._document(change.document, change.version))
        except httpx.HTTPError as exc:
            self.outcomes[type(exc).__name__] += 1
        else:
            accepted = response.status_code == httpx.codes.ACCEPTED
            self.outcomes["accepted" if accepted else f"status {response.status_code}"] += 1

    def _document(self, number: int, version: int) -> dict[str, str]:
        first = _WORDS * version
        return {
            "title": f"document {number}, version {version}",
            "body": " ".join(self._queries[first + place] for place in range(_WORDS)),
            "source": _SOURCE,
        }
