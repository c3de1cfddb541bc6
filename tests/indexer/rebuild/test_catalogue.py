"""What rebuilds ask of a store, alike for local files and PostgreSQL."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from indexer.deadline import Deadline
from indexer.errors import GenerationUnusable, WriterLocked
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.phases import GenerationInfo, Phase, RebuildRecord
from indexer.registry import open_backend, open_catalogue
from indexer.resources import MemoryGuard, MemoryLimit
from indexer.semantic.catalogue import APPLICATION
from streams.metrics import Metrics
from streams.settings import Settings
from tests.indexer.contract.changes import upsert
from tests.indexer.contract.harness import found, index_changes
from tests.system.waiting import until


async def phases(catalogue: Catalogue) -> Mapping[str, Phase]:
    """What each generation is."""
    return {each.name: each.phase for each in await catalogue.generations()}


async def test_there_is_nothing_at_first(catalogue: Catalogue) -> None:
    """A store that was never written to has no generations, which is no fault."""
    assert await phases(catalogue) == {}


async def test_the_first_generation_is_live(catalogue: Catalogue) -> None:
    """It is made when somebody wants to write, and once."""
    assert await catalogue.ensure_live() == await catalogue.ensure_live() == "g000001"
    (first,) = await catalogue.generations()
    assert (first.phase, first.since, first.record) == (Phase.LIVE, 0, None)
    assert first.built_with.startswith("format ")


async def test_a_rebuild_goes_on_where_it_was_left(catalogue: Catalogue) -> None:
    """What has been replayed into a generation is not replayed again; one that was ready is not touched again."""
    await catalogue.ensure_live()
    name = await catalogue.prepare()
    assert await phases(catalogue) == {"g000001": Phase.LIVE, name: Phase.REPLAYING}
    assert await catalogue.prepare() == name
    record = RebuildRecord(Phase.REPLAYING, 1.0, 2.0, 3, 4, 5.0)
    for phase in (Phase.READY, Phase.REFUSED):
        await catalogue.tell(name, record.told(phase, reasons=("slow",)))
        assert await phases(catalogue) == {"g000001": Phase.LIVE, name: phase}
    told = (await catalogue.generations())[-1].record
    assert told is not None
    assert (told.read, told.total, told.reasons, told.seconds_left) == (3, 4, ("slow",), 0.2)
    assert abs(told.told_at - time.time()) < 60


async def test_a_new_rebuild_takes_the_place_of_one_that_was_not_promoted(catalogue: Catalogue) -> None:
    """There are never two that wait."""
    await catalogue.ensure_live()
    refused = await catalogue.prepare()
    await catalogue.tell(refused, RebuildRecord().told(Phase.REFUSED))
    again = await catalogue.prepare()
    assert await phases(catalogue) == {"g000001": Phase.LIVE, again: Phase.REPLAYING}


async def test_promotion_and_the_way_back(catalogue: Catalogue) -> None:
    """Whatever is put live, the one before stays; what is older than that is retired."""
    first = await catalogue.ensure_live()
    second = await catalogue.prepare()
    await catalogue.promote(second)
    await catalogue.promote(second)
    assert await phases(catalogue) == {first: Phase.PREVIOUS, second: Phase.LIVE}
    assert all(abs(each.since - time.time()) < 60 for each in await catalogue.generations())
    await catalogue.promote(first)
    assert await phases(catalogue) == {first: Phase.LIVE, second: Phase.PREVIOUS}
    third = await catalogue.prepare()
    await catalogue.promote(third)
    assert await phases(catalogue) == {first: Phase.PREVIOUS, second: Phase.RETIRED, third: Phase.LIVE}


async def test_only_what_is_there_is_promoted(catalogue: Catalogue) -> None:
    """A name that is none, or of none, changes nothing."""
    await catalogue.ensure_live()
    for name in ("g000007", "../g000001", "", "g1; DROP TABLE x"):
        with pytest.raises(GenerationUnusable):
            await catalogue.promote(name)
    assert await phases(catalogue) == {"g000001": Phase.LIVE}


async def test_all_but_the_live_generation_can_be_removed(catalogue: Catalogue) -> None:
    """The previous one loses its place first, so that nobody goes back to what is half gone."""
    await catalogue.ensure_live()
    second = await catalogue.prepare()
    await catalogue.promote(second)
    previous, live = await catalogue.generations()
    with pytest.raises(GenerationUnusable, match="is live"):
        await catalogue.drop(live)
    assert await catalogue.drop(previous)
    assert await catalogue.drop(previous)
    assert await phases(catalogue) == {second: Phase.LIVE}


async def test_what_has_become_something_else_is_not_removed(catalogue: Catalogue) -> None:
    """Whoever chose to remove it saw it before a rebuild had made it whole, or before somebody went back to it."""
    first = await catalogue.ensure_live()
    made = await catalogue.prepare()
    unmade = GenerationInfo(made, Phase.RETIRED, built_with="")
    assert not await catalogue.drop(unmade)
    assert await phases(catalogue) == {first: Phase.LIVE, made: Phase.REPLAYING}
    await catalogue.promote(made)
    previous, _ = await catalogue.generations()
    await catalogue.promote(first)
    with pytest.raises(GenerationUnusable, match="is live"):
        await catalogue.drop(previous)
    assert await phases(catalogue) == {first: Phase.LIVE, made: Phase.PREVIOUS}


async def test_one_rebuild_at_a_time(catalogue: Catalogue) -> None:
    """Two would fill the same generation."""
    async with catalogue.rebuilding():
        with pytest.raises(WriterLocked, match="another"):
            async with catalogue.rebuilding():
                pytest.fail("two rebuilds work")
    async with catalogue.rebuilding():
        pass


async def test_searches_see_a_generation_once_it_is_live(
    request: pytest.FixtureRequest, catalogue: Catalogue, settings: Settings
) -> None:
    """Before, it can be written, dumped and searched by its name alone; then whoever has the index open follows."""
    first = await catalogue.ensure_live()
    second = await catalogue.prepare()
    for name, document in ((first, "old"), (second, "new")):
        writer = await catalogue.open_writer(name)
        await index_changes(writer, upsert(document, "circuit breaker", offset=0))
        await writer.close()
    index = request.node.callspec.params["catalogue"]
    backend = open_backend(index, settings, Metrics(), MemoryGuard(MemoryLimit(100, "test", lambda: 0)))
    async with catalogue.open_backend(second) as beside:
        assert await found(backend, "breaker") == ["old"]
        assert await found(beside, "breaker") == ["new"]
        assert (await beside.stats(Deadline.after(10))).generation == second
        async with catalogue.open_dump(second) as dump:
            assert [document.id async for batch in dump.batches() for document in batch] == ["new"]
        for live, document in ((second, "new"), (first, "old")):
            await catalogue.promote(live)
            assert await found(backend, "breaker") == [document]
        assert await found(beside, "breaker") == ["new"]
    await backend.close()


@pytest.mark.services
async def test_whoever_looks_every_second_keeps_one_connection(database_dsn: str, model_path: Path) -> None:
    """To connect anew each time is work for PostgreSQL; and what was cut is made anew without a word."""
    given = {"database_url": database_dsn, "model_path": model_path}
    settings = Settings.model_validate(Settings().model_dump() | given, by_name=True)
    watching = await asyncpg.connect(database_dsn)
    try:
        async with open_catalogue("semantic", settings) as catalogue:
            await catalogue.generations()
            (first,) = await _askers(watching)
            for _ in range(3):
                await catalogue.generations()
            assert await _askers(watching) == {first}
            await watching.execute("SELECT pg_terminate_backend($1)", first)
            assert list(await catalogue.generations()) == []
            (second,) = await _askers(watching) - {first}
        await until(lambda: _gone(watching, second), "the connection let go of", 20)
    finally:
        await watching.close()


async def _askers(connection: Any) -> set[int]:
    rows = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()", APPLICATION
    )
    return {row["pid"] for row in rows}


async def _gone(connection: Any, pid: int) -> bool:
    return pid not in await _askers(connection)


@pytest.mark.parametrize("damage", ["cut", "nobody", "nothing is left"])
async def test_a_damaged_pointer_is_mended(tmp_path: Path, damage: str) -> None:
    """The newest generation that was ever fit goes live, and the one before can be gone back to."""
    pointer = tmp_path / "indexes" / "bm25" / "live"
    async with open_catalogue("bm25", Settings().model_copy(update={"data_dir": tmp_path})) as catalogue:
        first = await catalogue.ensure_live()
        second = await catalogue.prepare()
        await catalogue.tell(second, RebuildRecord().told(Phase.READY))
        await catalogue.promote(second)
        third = await catalogue.prepare()
        assert await catalogue.mend() is None
        if damage == "cut":
            pointer.write_bytes(pointer.read_bytes()[:10])
        else:
            pointer.write_text("g000099")
        if damage == "nothing is left":
            for name in (first, second):
                (pointer.parent / name / "generation.json").write_bytes(b"{")
            assert await catalogue.mend() == "g000004"
            assert (await phases(catalogue))["g000004"] is Phase.LIVE
        else:
            assert await catalogue.mend() == second
            assert await phases(catalogue) == {first: Phase.PREVIOUS, second: Phase.LIVE, third: Phase.REPLAYING}
        assert await catalogue.mend() is None
