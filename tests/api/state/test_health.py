"""Health, probes and the system's description."""

import asyncio
import time

from api.state.system import SystemProbe
from indexer.errors import BackendUnavailable
from indexer.health.check import KEPT_SECONDS, PROBE_SECONDS
from streams.topics import TopicOffsets
from tests.api.application import make_services, running
from tests.api.fakes import CLUSTER, FakeBackend, FakeOffsets


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


async def test_healthy_when_everything_answers() -> None:
    """Each index tells its generation, documents, watermark and lag."""
    offsets = FakeOffsets(end=130)
    async with running(make_services({"bm25": FakeBackend(("a", 1.0), read=100)}, offsets=offsets)) as client:
        response = await client.get("/health")
    health = response.json()
    assert (response.status_code, health["status"]) == (200, "healthy")
    assert health["components"]["bm25"]["details"] | {"lag_seconds": 0} == {
        "generation": "g000001",
        "documents": 1,
        "size_bytes": 1_000,
        "watermark": {"documents": {"0": 100}},
        "lag": {"0": 30},
        "lag_seconds": 0,
        "breaker": "closed",
    }
    assert list(health["components"]) == ["bm25", "kafka", "disk", "memory", "open_files", "mappings"]
    assert health["components"]["kafka"]["details"] == {"cluster": CLUSTER, "topic": "documents", "end": {"0": 130}}


async def test_degraded_when_something_is_missing() -> None:
    """One index or Kafka away: searches are still answered, so the status is 200."""
    backends = {"bm25": FakeBackend(), "native": FakeBackend()}
    backends["native"].fail(BackendUnavailable("index native was not built yet"))
    async with running(make_services(backends, offsets=FakeOffsets(end=None))) as client:
        response = await client.get("/health")
        ready = await client.get("/readyz")
    health = response.json()
    assert (response.status_code, health["status"], ready.status_code) == (200, "degraded", 200)
    assert health["components"]["native"] == {
        "status": "unhealthy",
        "message": "index native was not built yet",
        "details": {},
    }
    assert health["components"]["kafka"]["message"] == "Kafka does not answer"
    assert "lag" not in health["components"]["bm25"]["details"]


async def test_unhealthy_when_no_search_can_be_answered() -> None:
    """Without any index the system is of no use: 503, and not ready; the process itself lives."""
    backend = FakeBackend()
    backend.hang = frozenset({"stats"})
    async with running(make_services({"bm25": backend})) as client:
        statuses = {
            path: (await client.get(path)).status_code for path in ("/health", "/readyz", "/livez", "/startupz")
        }
    assert statuses == {"/health": 503, "/readyz": 503, "/livez": 200, "/startupz": 200}


async def test_an_index_of_another_cluster_is_told() -> None:
    """An index that was read from a Kafka that is not there any more must be rebuilt."""

    class OtherCluster(FakeOffsets):
        async def read(self) -> TopicOffsets:
            return TopicOffsets("another", {0: 0}, {0: 5})

    async with running(make_services({"bm25": FakeBackend()}, offsets=OtherCluster())) as client:
        health = (await client.get("/health")).json()
    assert health["status"] == "degraded"
    assert "rebuild" in health["components"]["bm25"]["message"]


async def test_an_index_appears_without_a_restart() -> None:
    """What was missing at start-up is found once it is there."""
    backend = FakeBackend(("a", 1.0))
    backend.fail(BackendUnavailable("index bm25 was not built yet"))
    async with running(make_services({"bm25": backend})) as client:
        before = await client.get("/search?q=x")
        backend.fault = None
        after = await client.get("/search?q=x")
    assert (before.status_code, after.status_code) == (503, 200)


async def test_the_state_is_looked_at_once_a_second() -> None:
    """Many pollers cost no more than one."""
    backend, offsets, clock = FakeBackend(), FakeOffsets(), Clock()
    probe = SystemProbe({"bm25": backend}, offsets, clock=clock)
    await asyncio.gather(*[probe.state() for _ in range(20)])
    assert (backend.begun["stats"], offsets.reads) == (1, 1)
    clock.now += KEPT_SECONDS + 0.1
    await probe.state()
    assert (backend.begun["stats"], offsets.reads) == (2, 2)


async def test_the_system_tells_where_to_publish() -> None:
    """Client commands learn the broker from a running system."""
    async with running(make_services({"bm25": FakeBackend()}, bootstrap_servers="kafka.example:9092")) as client:
        system = (await client.get("/system")).json()
    assert (system["bootstrap_servers"], system["topic"]) == ("kafka.example:9092", "documents")
    assert system["indexes"] == ["bm25"]


async def test_an_index_that_stands_still_before_unread_offsets_is_told() -> None:
    """Degraded after the time that the settings allow, not before; and healthy again once it moves."""
    backend, offsets, clock = FakeBackend(read=100), FakeOffsets(end=130), Clock()
    services = make_services({"bm25": backend}, offsets=offsets, lag_stall_seconds=60, clock=clock)
    async with running(services) as client:
        seen = []
        for seconds, read in ((0, 100), (59, 100), (2, 100), (2, 101)):
            clock.now += seconds
            backend.read = read
            seen.append((await client.get("/health")).json())
    assert [health["status"] for health in seen] == ["healthy", "healthy", "degraded", "healthy"]
    stalled = seen[2]["components"]["bm25"]
    assert stalled["message"] == "has not moved for 61 s, though 30 offsets are left"
    assert stalled["details"]["stalled_seconds"] == 61
    assert "stalled_seconds" not in seen[3]["components"]["bm25"]["details"]


async def test_readiness_waits_for_nobody_who_hangs() -> None:
    """One index that answers is enough, and known before the deadline of the others: probes have little patience."""
    backends = {name: FakeBackend() for name in ("bm25", "tantivy", "native", "semantic")}
    for name in ("bm25", "tantivy", "semantic"):
        backends[name].hang = frozenset({"stats"})
    async with running(make_services(backends)) as client:
        await client.get("/livez")
        began = time.monotonic()
        ready = await client.get("/readyz")
        waited = time.monotonic() - began
    assert ready.status_code == 200
    assert waited < PROBE_SECONDS / 2


async def test_readiness_waits_for_the_first_start_of_an_index() -> None:
    """Searches sent here before would be partial. Nobody waits for an index that then fails, or is started again."""
    backends, starting = {name: FakeBackend() for name in ("bm25", "semantic")}, [True]
    async with running(make_services(backends, is_starting=lambda: starting[0])) as client:
        during = [(await client.get(path)).status_code for path in ("/readyz", "/livez", "/startupz", "/search?q=x")]
        backends["semantic"].fail(BackendUnavailable("the model cannot be used"))
        starting[0] = False
        after = (await client.get("/readyz")).status_code
    assert (during, after) == ([503, 200, 200, 200], 200)


async def test_liveness_looks_at_nothing() -> None:
    """Restarting this process would mend none of what it needs."""
    backend, offsets = FakeBackend(), FakeOffsets(end=None)
    backend.fail(BackendUnavailable("away"))
    async with running(make_services({"bm25": backend}, offsets=offsets)) as client:
        for path in ("/livez", "/startupz"):
            assert (await client.get(path)).status_code == 200
        assert (sum(backend.begun.values()), offsets.reads) == (0, 0)
        assert (await client.get("/readyz")).status_code == 503


async def test_every_part_has_its_own_deadline() -> None:
    """One that hangs is told by name; the others answer beside it, and the page comes in time, then at once."""
    backends = {"bm25": FakeBackend(), "native": FakeBackend()}
    backends["native"].hang = frozenset({"stats"})

    class Hanging(FakeOffsets):
        async def read(self) -> TopicOffsets:
            self.reads += 1
            never: asyncio.Future[TopicOffsets] = asyncio.get_running_loop().create_future()
            return await never

    offsets = Hanging()
    async with running(make_services(backends, offsets=offsets)) as client:
        began = time.monotonic()
        health = (await client.get("/health")).json()
        first = time.monotonic() - began
        began = time.monotonic()
        again = (await client.get("/health")).json()
        second = time.monotonic() - began
    parts = health["components"]
    assert (health["status"], parts["bm25"]["status"], parts["disk"]["status"]) == ("degraded", "healthy", "healthy")
    assert (parts["native"]["status"], parts["native"]["message"]) == ("unhealthy", "the deadline passed")
    assert (parts["kafka"]["status"], parts["kafka"]["message"][:20]) == ("unhealthy", "has not answered for")
    assert again["components"]["kafka"]["status"] == "unhealthy"
    assert PROBE_SECONDS <= first < PROBE_SECONDS + 1
    assert second < PROBE_SECONDS / 2
    assert offsets.reads == 1


async def test_a_disk_below_its_threshold_degrades() -> None:
    """Searches are answered all the same."""
    services = make_services({"bm25": FakeBackend(("a", 1.0))}, disk_free_bytes=1 << 60)
    async with running(services) as client:
        health = await client.get("/health")
        search = await client.get("/search?q=x")
    assert (health.status_code, health.json()["status"], search.status_code) == (200, "degraded", 200)
    assert health.json()["components"]["disk"]["status"] == "degraded"
