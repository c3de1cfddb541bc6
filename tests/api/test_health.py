"""Health, probes and the system's description."""

import asyncio

from api.system import KEPT_SECONDS, SystemProbe
from indexer.errors import BackendUnavailable
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
