"""The sample of recent searches: shared by all workers, bounded, and kept only where that is allowed."""

import asyncio
from pathlib import Path

import pytest

from api.searching.sampling import QuerySampling
from indexer.query_sample import KEPT_QUERIES, QuerySample
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.system.waiting import until


def kept(directory: Path) -> list[str]:
    """What is in the sample, the newest last."""
    return [each.query for each in QuerySample(directory).queries()]


@pytest.mark.parametrize("allowed", [True, False])
async def test_what_is_searched_for_is_kept_if_it_may_be(tmp_path: Path, allowed: bool) -> None:  # noqa: FBT001 - pytest's way
    """Each query once, and the newest documents are no query; where the log masks queries, none is left either."""
    QuerySample(tmp_path).add(["from before"])
    services = make_services({"bm25": FakeBackend(("a", 1.0))}, data_dir=tmp_path, log_queries=allowed)
    async with running(services) as client:
        services.sampling.start()
        for query in ("one", "two", "one"):
            assert (await client.get("/search", params={"q": query})).status_code == 200
        assert (await client.get("/search")).status_code == 200
        assert (await client.get("/search", params={"q": "x" * 5_000})).status_code == 400
        await _written(services.sampling)
    assert kept(tmp_path) == (["from before", "two", "one"] if allowed else [])
    assert (tmp_path / "queries").exists() is allowed


async def test_workers_share_the_sample_and_it_stays_small(tmp_path: Path) -> None:
    """What several note at a time is all there, up to the bound; the oldest make room."""
    workers = [QuerySampling(QuerySample(tmp_path), keeps=True) for _ in range(4)]
    for number in range(KEPT_QUERIES):
        workers[number % 4].note(f"query {number}")
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.close())
    assert sorted(kept(tmp_path)) == sorted(f"query {number}" for number in range(KEPT_QUERIES))
    late = QuerySampling(QuerySample(tmp_path), keeps=True)
    for number in range(2 * KEPT_QUERIES):
        late.note(f"later {number}")
    await late.close()
    assert kept(tmp_path) == [f"later {number}" for number in range(KEPT_QUERIES, 2 * KEPT_QUERIES)]


async def test_it_is_written_while_the_worker_runs(tmp_path: Path) -> None:
    """A rebuild must not wait until the API is stopped."""
    sampling = QuerySampling(QuerySample(tmp_path), keeps=True, write_every=0.01)
    sampling.start()
    sampling.note("now")

    async def is_written() -> bool:
        return kept(tmp_path) == ["now"]

    await until(is_written, "the sample", 20)
    await sampling.close()


async def test_a_disk_that_takes_nothing_fails_no_search(tmp_path: Path) -> None:
    """The sample is not worth that."""
    (tmp_path / "queries").write_text("a file where the folder should be")
    services = make_services({"bm25": FakeBackend(("a", 1.0))}, data_dir=tmp_path)
    async with running(services) as client:
        assert (await client.get("/search", params={"q": "one"})).status_code == 200
        await services.sampling.close()


async def test_a_line_that_somebody_damaged_hides_no_other(tmp_path: Path) -> None:
    """It is passed over."""
    QuerySample(tmp_path).add(["one", "two"])
    path = tmp_path / "queries" / "recent.ndjson"
    path.write_bytes(b"{\n\xff\n" + path.read_bytes())
    assert kept(tmp_path) == ["one", "two"]
    assert (tmp_path / "queries").stat().st_mode & 0o077 == 0


async def _written(sampling: QuerySampling) -> None:
    await sampling.close()
