"""What operators ask over HTTP, on fake indexes and a real board of jobs, which the test carries out itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable
from indexer.halt_notes import HaltNotes
from indexer.jobs.board import Claim, JobBoard
from indexer.jobs.job import JobReport, JobState, Kind, PromoteOrder, RebuildOrder, VerificationOrder
from indexer.rebuild.options import GateBounds, GoldenQuery
from indexer.rebuild.phases import GenerationInfo, Phase, RebuildRecord
from indexer.rebuild.swapping import Swap
from indexer.reports.comparison import Fault, Faults, IndexComparison
from indexer.reports.rebuilding import RebuildOutcome, Verdict
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.system.waiting import until


class Store:
    """The generations of the indexes, as a test says."""

    def __init__(self) -> None:
        self.known: Sequence[GenerationInfo] = ()
        self.fault: BackendUnavailable | None = None

    async def look(self, _: Deadline) -> Sequence[GenerationInfo]:
        """As the API looks."""
        if self.fault is not None:
            raise self.fault
        return self.known


@pytest.fixture
def store() -> Store:
    """With one live generation."""
    made = Store()
    made.known = [GenerationInfo("g000001", Phase.LIVE, "format 1")]
    return made


@pytest.fixture
def board(tmp_path: Path) -> JobBoard:
    """Where the API orders."""
    return JobBoard(tmp_path)


@pytest.fixture
async def client(store: Store, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Of a system with two indexes."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "semantic": FakeBackend()}
    services = make_services(backends, generations=dict.fromkeys(backends, store.look), data_dir=tmp_path)
    async with running(services) as opened:
        yield opened


@asynccontextmanager
async def carried_out(board: JobBoard, kind: Kind, state: JobState, report: JobReport | None) -> AsyncIterator[None]:
    """Attend, and end the first job of a kind this way."""

    async def work() -> None:
        claims: list[Claim] = []

        async def taken() -> bool:
            claims.extend(filter(None, [board.take(kind, ["bm25", "semantic"])]))
            return bool(claims)

        await until(taken, "a job", 20)
        with claims[0] as claim:
            await claim.end(state, "as the test says", report)

    with board.attending(["bm25", "semantic"]):
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            yield


@contextmanager
def attended(board: JobBoard) -> Iterator[None]:
    """Attend, and carry out nothing."""
    with board.attending(["bm25", "semantic"]):
        yield


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, kind and field of an answer."""
    told = answer.json()
    return answer.status_code, told["type"].rpartition(":")[2], told.get("field")


async def test_each_index_is_told_with_its_generations(
    client: httpx.AsyncClient, store: Store, board: JobBoard
) -> None:
    """What is live, what one can go back to, what waits, and how far a rebuild is."""
    record = RebuildRecord(Phase.REPLAYING, 1.0, 0.0, 30, 100, 10.0).told(step="replay")
    store.known = [
        GenerationInfo("g000001", Phase.PREVIOUS, "format 1", since=7),
        GenerationInfo("g000002", Phase.LIVE, "format 2", since=7),
        GenerationInfo("g000003", Phase.REPLAYING, "format 3", record=record),
    ]
    HaltNotes(board._root.parent).write("semantic", "stopped reading: too much is bad")
    with board.attending(["bm25"]):
        told = (await client.get("/admin/indexes")).json()["indexes"]
    bm25 = told["bm25"]
    assert (bm25["live"]["name"], bm25["live"]["built_with"], bm25["live"]["since"]) == ("g000002", "format 2", 7)
    assert bm25["previous"]["name"] == "g000001"
    (candidate,) = bm25["candidates"]
    assert (candidate["name"], candidate["phase"]) == ("g000003", "replaying")
    progress = candidate["rebuild"]
    assert (progress["working"], progress["step"], progress["seconds_left"]) == (True, "replay", 7.0)
    assert (bm25["documents"], bm25["size_bytes"], bm25["lag"], bm25["watermark"]) == (
        1,
        1_000,
        {"0": 0},
        {"documents": {"0": 100}},
    )
    assert (bm25["breaker"]["state"], bm25["attended"], bm25["halted"], bm25["error"]) == ("closed", True, None, None)
    assert (told["semantic"]["attended"], told["semantic"]["halted"]) == (False, "stopped reading: too much is bad")


async def test_a_store_that_does_not_answer_is_named(client: httpx.AsyncClient, store: Store) -> None:
    """In the list, and by whoever would swap."""
    store.fault = BackendUnavailable("the database is away")
    told = (await client.get("/admin/indexes")).json()["indexes"]["bm25"]
    assert (told["live"], told["error"], told["documents"]) == (None, "the database is away", 1)
    answer = await client.post("/admin/indexes/bm25/promote", json={})
    assert problem(answer) == (503, "index-unavailable", None)
    assert answer.json()["backends"] == {"bm25": "the database is away"}


async def test_a_swap_is_done_by_the_indexer_and_awaited(
    client: httpx.AsyncClient, store: Store, board: JobBoard
) -> None:
    """What waits goes live, what is previous comes back, and the order says by name which."""
    store.known = [*store.known, GenerationInfo("g000002", Phase.READY, "format 2")]
    swapped = JobReport(swap=Swap("bm25", "g000002", "g000001"))
    async with carried_out(board, "swap", JobState.DONE, swapped):
        answer = await client.post("/admin/indexes/bm25/promote", json={})
    assert (answer.status_code, answer.json()) == (200, {"index": "bm25", "live": "g000002", "previous": "g000001"})
    store.known = [
        GenerationInfo("g000001", Phase.PREVIOUS, "format 1"),
        GenerationInfo("g000002", Phase.LIVE, "format 2"),
    ]
    async with carried_out(board, "swap", JobState.DONE, swapped):
        assert (await client.post("/admin/indexes/bm25/rollback", json={})).status_code == 200
    back, forth = board.jobs("swap")
    assert (back.order, forth.order) == (PromoteOrder("g000001"), PromoteOrder("g000002"))
    assert back.ordered_by == "anonymous"


async def test_a_swap_that_cannot_be_done_says_why(client: httpx.AsyncClient, store: Store, board: JobBoard) -> None:
    """Nothing to swap to, nobody to do it, no success, or no answer in time: then it will not be done either."""
    promote, rollback = "/admin/indexes/bm25/promote", "/admin/indexes/bm25/rollback"
    assert problem(await client.post("/admin/indexes/tantivy/promote", json={})) == (404, "not-found", None)
    assert problem(await client.post(promote, json={"generation": "g000009"})) == (404, "no-such-item", None)
    for path in (promote, rollback):
        assert problem(await client.post(path, json={})) == (409, "conflict", None)
    store.known = [*store.known, GenerationInfo("g000002", Phase.REFUSED, "format 2")]
    refused = {"generation": "g000002"}
    nobody = await client.post(promote, json=refused)
    assert (nobody.status_code, "no indexer of bm25 runs" in nobody.json()["detail"]) == (409, True)
    async with carried_out(board, "swap", JobState.FAILED, None):
        failed = await client.post(promote, json=refused)
    assert (failed.status_code, failed.json()["detail"]) == (409, "as the test says")
    with attended(board):
        late = await client.post(promote, json=refused)
    assert (late.status_code, "did not take it up in time" in late.json()["detail"]) == (409, True)
    assert [job.state for job in board.jobs("swap")] == [JobState.CANCELLED, JobState.FAILED]


async def test_a_rebuild_is_ordered_followed_and_reported(
    client: httpx.AsyncClient, store: Store, board: JobBoard
) -> None:
    """Its options get to whoever carries it out, its progress and the gate's report back."""
    asked = {
        "indexes": ["bm25", "semantic"],
        "promote": "manual",
        "golden": [{"query": "rudder", "relevant": {"a": 2}}],
        "min_overlap": 0.25,
        "max_latency_ratio": 3,
    }
    with attended(board):
        ordered = await client.post("/admin/rebuilds", json=asked)
        assert ordered.status_code == 202
        assert problem(await client.post("/admin/rebuilds", json={"indexes": ["semantic"]})) == (409, "conflict", None)
    first, second = ordered.json()["rebuilds"]
    assert (first["index"], first["state"], first["golden_queries"]) == ("bm25", "waiting", 1)
    with board.take("rebuild", ["bm25"]) or pytest.fail("nothing was ordered") as claim:
        assert claim.job.order == RebuildOrder(
            "manual", GateBounds(0.25, 0.02, 3.0), (GoldenQuery("rudder", {"a": 2}),)
        )
        record = RebuildRecord(Phase.REPLAYING, 1.0, 0.0, 30, 100, 10.0).told(step="gate")
        store.known = [*store.known, GenerationInfo("g000002", Phase.REPLAYING, "format 2", record=record)]

        async def is_seen() -> bool:
            told = (await client.get(f"/admin/rebuilds/{first['id']}")).json()
            return told["state"] == "running" and (told["progress"] or {}).get("per_second") == 10.0

        await until(is_seen, "progress", 20)
        verdict = Verdict(IndexComparison("bm25", 60), None, ("too slow",), ("nothing",))
        await claim.end(
            JobState.DONE,
            report=JobReport(
                rebuild=RebuildOutcome(
                    "bm25", "g000002", promoted=False, former="g000001", verdict=verdict, seconds=1.0
                )
            ),
        )
    listed = (await client.get("/admin/rebuilds")).json()
    assert [each["id"] for each in listed["rebuilds"]] == [second["id"], first["id"]]
    assert listed["rebuilds"][1]["outcome"]["verdict"]["reasons"] == ["too slow"]
    assert listed["rebuilds"][1]["progress"] is None
    assert [each["index"] for each in listed["others"]] == ["bm25", "semantic"], "as one of the command line would be"


async def test_a_rebuild_can_be_taken_back(client: httpx.AsyncClient, board: JobBoard) -> None:
    """At once while it waits; while it runs, it is told, and the answer says so."""
    with attended(board), capture_logs() as lines:
        waiting, running_one = (await client.post("/admin/rebuilds", json={"indexes": ["bm25", "semantic"]})).json()[
            "rebuilds"
        ]
        cancelled = await client.delete(f"/admin/rebuilds/{waiting['id']}")
        assert cancelled.json()["state"] == "cancelled"
        with board.take("rebuild", ["semantic"]) or pytest.fail("nothing was ordered") as claim:
            told = (await client.delete(f"/admin/rebuilds/{running_one['id']}")).json()
            assert (told["state"], told["cancelling"], claim.cancelled) == ("running", True, True)
    assert [line["method"] for line in lines if line["event"] == "admin action"] == ["POST", "DELETE", "DELETE"]
    for method in ("GET", "DELETE"):
        answer = await client.request(method, "/admin/rebuilds/1767225600000-00000000")
        assert problem(answer) == (404, "no-such-item", None)


async def test_one_index_that_cannot_be_rebuilt_takes_back_the_others(
    client: httpx.AsyncClient, board: JobBoard
) -> None:
    """An order is for all of them or for none."""
    with board.attending(["bm25"]):
        answer = await client.post("/admin/rebuilds", json={"indexes": ["bm25", "semantic"]})
    assert problem(answer) == (409, "conflict", None)
    assert [job.state for job in board.jobs("rebuild")] == [JobState.CANCELLED]


async def test_a_verification_is_ordered_and_reported(client: httpx.AsyncClient, board: JobBoard) -> None:
    """All indexes unless some are named, the local ones for their files; with what was found."""
    with attended(board):
        deep = (await client.post("/admin/verify", json={"deep": True})).json()["verifications"]
        assert [each["index"] for each in deep] == ["bm25"]
        assert (await client.delete(f"/admin/verify/{deep[0]['id']}")).json()["state"] == "cancelled"
        both = (await client.post("/admin/verify", json={"repair": True, "patience": 5})).json()["verifications"]
    assert [each["index"] for each in both] == ["bm25", "semantic"]
    found = IndexComparison("bm25", 3, missing=Faults(1, [Fault("a")]))
    with board.take("verification", ["bm25"]) or pytest.fail("nothing was ordered") as claim:
        assert claim.job.order == VerificationOrder(repair=True, patience=5.0)
        await claim.end(JobState.DONE, report=JobReport(comparison=found))
    told = (await client.get(f"/admin/verify/{both[0]['id']}")).json()
    assert (told["sound"], told["comparison"]["missing"]["first"][0]["id"]) == (False, "a")
    listed = (await client.get("/admin/verify")).json()["verifications"]
    assert [each["sound"] for each in listed] == [None, False, None]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/admin/indexes/bm25/promote", {"generation": "../g"}, "generation"),
        ("/admin/indexes/bm25/rollback", {"now": True}, "now"),
        ("/admin/rebuilds", {}, "indexes"),
        ("/admin/rebuilds", {"indexes": []}, "indexes"),
        ("/admin/rebuilds", {"indexes": ["all"]}, "indexes[0]"),
        ("/admin/rebuilds", {"indexes": ["tantivy"]}, "indexes"),
        ("/admin/rebuilds", {"indexes": ["bm25"], "promote": "never"}, "promote"),
        ("/admin/rebuilds", {"indexes": ["bm25"], "model": "/etc/passwd"}, "model"),
        ("/admin/rebuilds", {"indexes": ["bm25"], "golden": [{"query": " "}]}, "golden[0].query"),
        ("/admin/rebuilds", {"indexes": ["bm25"], "min_overlap": 2}, "min_overlap"),
        ("/admin/verify", {"indexes": ["semantic"], "deep": True}, "indexes"),
        ("/admin/verify", {"deep": True, "repair": True}, "repair"),
        ("/admin/verify", {"patience": 0}, "patience"),
        ("/admin/dead-letters/replay", {}, "positions"),
        ("/admin/dead-letters/replay", {"all": True, "positions": ["0:1"]}, "positions"),
        ("/admin/dead-letters/replay", {"positions": ["one"]}, "positions[0]"),
        ("/admin/dead-letters/resume", {"indexes": ["native"]}, "indexes"),
    ],
)
async def test_the_field_to_blame_is_named(
    client: httpx.AsyncClient, board: JobBoard, path: str, body: dict[str, Any], field: str
) -> None:
    """And nothing is ordered."""
    with attended(board):
        assert problem(await client.post(path, json=body)) == (400, "invalid-request", field)
    assert [job for kind in ("swap", "rebuild", "verification") for job in board.jobs(kind)] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "through"),
        ("?all=false", "through"),
        ("?all=true&through=0:1", "through"),
        ("?through=1", "through"),
        ("?all=perhaps", "all"),
        ("?al=true", "al"),
    ],
)
async def test_nothing_is_deleted_by_mistake(client: httpx.AsyncClient, query: str, field: str) -> None:
    """Whoever deletes all says so."""
    assert problem(await client.delete(f"/admin/dead-letters{query}")) == (400, "invalid-request", field)


async def test_a_page_of_another_site_orders_nothing(client: httpx.AsyncClient) -> None:
    """A form cannot send JSON, and a browser asks before it lets a script do so."""
    for path in ("indexes/bm25/promote", "indexes/bm25/rollback", "rebuilds", "verify", "dead-letters/replay"):
        answer = await client.post(f"/admin/{path}", content=b"{}", headers={"content-type": "text/plain"})
        assert problem(answer) == (415, "unsupported-media-type", None)


async def test_health_tells_which_indexer_has_halted_and_why(client: httpx.AsyncClient, board: JobBoard) -> None:
    """What it knows only itself, whoever looks at the system must learn."""
    HaltNotes(board._root.parent).write("bm25", "stopped reading: 50 of the last 50 records are bad")
    health = (await client.get("/health")).json()
    assert health["status"] == "degraded"
    assert health["components"]["bm25"]["status"] == "degraded"
    assert "its indexer stopped reading: 50 of the last 50" in health["components"]["bm25"]["message"]
