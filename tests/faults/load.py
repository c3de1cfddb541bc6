"""Load on a server from a process of its own, and the history of what became of it."""

import itertools
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from types import MappingProxyType

import msgspec

from tests.faults.client import NO_ANSWER, Observation, Plan

_PATIENCE_SECONDS = 60.0


class History:
    """What became of requests, in the order in which they were due."""

    def __init__(self, seen: Sequence[Observation]) -> None:
        self.seen = sorted(seen, key=lambda one: one.due)

    def __len__(self) -> int:
        return len(self.seen)

    def between(self, begin: float, end: float) -> "History":
        """Those that were due in a span of the monotonic clock."""
        return self.where(lambda one: begin <= one.due < end)

    def where(self, condition: Callable[[Observation], bool]) -> "History":
        """Those of which something is true."""
        return History([one for one in self.seen if condition(one)])

    @property
    def succeeded(self) -> "History":
        """Those that were answered with 200."""
        return self.where(lambda one: one.status == 200)

    @property
    def failed(self) -> "History":
        """Those that were not."""
        return self.where(lambda one: one.status != 200)

    @property
    def outcomes(self) -> Counter[str]:
        """How many ended how: a status, or why there is none."""
        return Counter(str(one.status) if one.status != NO_ANSWER else one.failure for one in self.seen)

    @property
    def examples(self) -> list[str]:
        """Some of the answers that were no success, for who looks into one."""
        return [f"{one.status} {one.failure or one.detail}" for one in self.failed.seen[:: len(self.failed) // 5 + 1]]

    def quantile(self, share: float) -> float:
        """The seconds that this share of them took at most."""
        return sorted(one.seconds for one in self.seen)[int(share * (len(self.seen) - 1))]

    @property
    def p99(self) -> float:
        """The seconds that 99 % of them took at most."""
        return self.quantile(0.99)

    @property
    def longest_silence(self) -> float:
        """The longest time between the ends of two successes after each other, seconds."""
        ends = sorted(one.due + one.seconds for one in self.succeeded.seen)
        return max((later - earlier for earlier, later in itertools.pairwise(ends)), default=0.0)


class Load:
    """Requests that are under way.

    Attributes:
        began: reading of the monotonic clock when the first one was due.
    """

    def __init__(self, process: subprocess.Popen[bytes], seen: Path, plan: Plan, began: float) -> None:
        self._process = process
        self._seen = seen
        self._plan = plan
        self.began = began

    def stop(self) -> History:
        """Send no more, wait for the answers, and give what became of all."""
        self._process.send_signal(SIGTERM)
        return self._history(_PATIENCE_SECONDS)

    def finish(self) -> History:
        """Wait until all were sent and answered, and give what became of them."""
        return self._history(self._plan.seconds + _PATIENCE_SECONDS)

    def _history(self, seconds: float) -> History:
        assert self._process.wait(seconds) == 0, "the client failed; its output tells why"
        decode = msgspec.json.Decoder(Observation).decode
        return History([decode(line) for line in self._seen.read_bytes().splitlines()])


@contextmanager
def load(
    ports: Sequence[int],
    bodies: Sequence[str] | Sequence[bytes],
    *,
    rate: float,
    seconds: float,
    path: str = "/search",
    patience_seconds: float = 10.0,
    clients: int = 0,
    headers: Mapping[str, str] = MappingProxyType({}),
    address: str | None = None,
) -> Iterator[Load]:
    """Send requests while the block runs, or until they are all sent; arguments as of `Plan`."""
    as_sent = tuple(body.encode() if isinstance(body, str) else body for body in bodies)
    plan = Plan(tuple(ports), path, as_sent, rate, seconds, patience_seconds, clients, dict(headers), address)
    with tempfile.TemporaryDirectory(prefix="embed-search-load-") as folder:
        seen = Path(folder) / "seen"
        command = [sys.executable, "-m", "tests.faults.client", str(seen)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(msgspec.json.encode(plan))
                process.stdin.close()
                yield Load(process, seen, plan, began=float(process.stdout.readline()))
            finally:
                process.kill()


def observe(ports: Sequence[int], bodies: Sequence[str], *, rate: float, seconds: float) -> History:
    """Send requests for so long while nothing else is done."""
    with load(ports, bodies, rate=rate, seconds=seconds) as sending:
        return sending.finish()


def observe_clients(ports: Sequence[int], bodies: Sequence[str], *, clients: int, seconds: float) -> History:
    """Let so many clients ask, each as soon as it has an answer, for so long while nothing else is done."""
    with load(ports, bodies, rate=0, seconds=seconds, clients=clients) as sending:
        return sending.finish()
