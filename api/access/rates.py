"""How many requests a second one client may make, over all workers of this machine.

The limit is the generic cell rate algorithm (ITU-T I.371, 1996): of each client one number is kept, the time at which
what it was allowed so far would be used up at its rate. A request moves it on by 1 / rate, and is refused when that
would put it further ahead than a burst takes.

The numbers lie in a table that the workers map. No lock guards them: two requests of one client in the same microsecond
may count as one, and each entry is written at once.
"""

import math
import mmap
import tempfile
import time
from hashlib import blake2b
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from api.access.clients import Network
from api.access.scopes import is_loopback
from api.errors import TooManyRequests
from indexer.deadline import Clock
from streams.settings import Settings

TABLE: Final = "rates"
"""Name of the table's file in the directory that the workers share."""

_USUAL_KEY_RATE: Final = 50
_USUAL_ADDRESS_RATE: Final = 10
_BURST_SECONDS: Final = 2
"""Worth of requests that a client may make at once."""

_SLOTS: Final = 1 << 16
_PROBES: Final = 8
_ROUNDING: Final = 1e-9
_ENTRY: Final = np.dtype([("client", "<u8"), ("until", "<f8")])


class Rate(msgspec.Struct, frozen=True):
    """What one client may do.

    Attributes:
        per_second: requests in the long run.
        burst: requests at once, after a pause.
    """

    per_second: float
    burst: int


class Allowance(msgspec.Struct, frozen=True):
    """What a client has left.

    Attributes:
        rate: that it has.
        remaining: requests that it could make at once.
        reset_seconds: until it could make a whole burst.
    """

    rate: Rate
    remaining: int
    reset_seconds: float

    def headers(self) -> dict[str, str]:
        """As answers carry it (draft-ietf-httpapi-ratelimit-headers-06)."""
        return {
            "ratelimit-limit": str(self.rate.burst),
            "ratelimit-remaining": str(self.remaining),
            "ratelimit-reset": str(math.ceil(self.reset_seconds)),
        }


class Limits(msgspec.Struct, frozen=True):
    """What clients may do; None for as much as they like.

    Attributes:
        per_key: rate of each key.
        per_address: rate of each address from which requests come without a key, or with a wrong one.
        trusted: networks of proxies that say whom they ask for.
    """

    per_key: Rate | None = None
    per_address: Rate | None = None
    trusted: tuple[Network, ...] = ()


def limits_of(settings: Settings) -> Limits:
    """The limits as set; where nothing is set, none on a loopback address, and the usual ones elsewhere."""
    loopback = is_loopback(settings.host)
    trusted = tuple(map(ip_network, settings.trusted_proxies))
    return Limits(
        _rate(settings.key_rate, 0 if loopback else _USUAL_KEY_RATE),
        _rate(settings.address_rate, 0 if loopback else _USUAL_ADDRESS_RATE),
        trusted,
    )


class RateLimiter:
    """Counts requests by client.

    Args:
        directory: that the workers share; None for a worker that is alone.
        clock: a monotonic clock, the same one in all processes of the machine.
    """

    def __init__(self, directory: Path | None, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        with tempfile.TemporaryFile() if directory is None else (directory / TABLE).open("a+b") as file:
            file.truncate(_SLOTS * _ENTRY.itemsize)
            self._table = np.frombuffer(mmap.mmap(file.fileno(), 0), _ENTRY)

    def take(self, client: str, rate: Rate) -> Allowance:
        """Let a client make one more request.

        Args:
            client: names it; two that are told apart differ here.
            rate: that it has.

        Raises:
            TooManyRequests: it has made too many.
        """
        now, interval = self._clock(), 1 / rate.per_second
        slot = self._slot(client)
        longest = rate.burst * interval * (1 + _ROUNDING)
        used = float(self._table[slot]["until"]) - now
        # Nobody gets further ahead than a burst: what is, was written before the machine was started anew.
        ahead = interval + (used if 0 < used <= longest else 0.0)
        if ahead > longest:
            raise TooManyRequests(ahead - longest, Allowance(rate, 0, ahead - interval).headers())
        self._table[slot] = (_number(client), now + ahead)
        return Allowance(rate, int((longest - ahead) / interval), ahead)

    def _slot(self, client: str) -> int:
        """Where a client's number is, or may be: in the place of the quietest, which was so for longest."""
        number = _number(client)
        slots = [(number + step) % _SLOTS for step in range(_PROBES)]
        for slot in slots:
            if self._table[slot]["client"] == number:
                return slot
        return min(slots, key=lambda slot: float(self._table[slot]["until"]))


def _rate(setting: int | None, usual: int) -> Rate | None:
    per_second = usual if setting is None else setting
    return Rate(per_second, _BURST_SECONDS * per_second) if per_second else None


def _number(client: str) -> int:
    return int.from_bytes(blake2b(client.encode(), digest_size=8).digest(), "little")
