import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.errors import GenerationUnusable, WriterFailed, WriterLocked
from indexer.generation import Generation, GenerationSettings
from indexer.tantivy import TantivySearcher, TantivyWriter, generation_settings
from indexer.tantivy.marker import MARKER_ID, marker_document
from indexer.tantivy.schema import ID, open_index
from streams.change import Change
from streams.errors import SettingsError
from streams.watermark import Watermark
from tests.disk.limit import largest_file
from tests.indexer.tantivy.documents import SOON, delete, found, upsert, watermark_after
from tests.system.waiting import until

MERGED_FROM = 8
"""Segments of one size, after as many commits, that Tantivy merges."""


@pytest.fixture
def writer(generation: Generation) -> Iterator[TantivyWriter]:
    """The writer of the generation."""
    writer = TantivyWriter(generation)
    yield writer
    writer.close()


def put(writer: TantivyWriter, *changes: Change) -> None:
    """Apply and commit."""
    assert writer.apply(list(changes)) == ()
    writer.commit(watermark_after(list(changes)))


def test_a_new_generation_has_read_nothing(writer: TantivyWriter) -> None:
    """The watermark of an empty index is empty."""
    assert writer.watermark() == Watermark()


def test_the_watermark_is_committed_with_the_data(generation: Generation, writer: TantivyWriter) -> None:
    """Neither is there before the commit, and both are there after it, also for the next process."""
    writer.apply([upsert("a", "words", offset=4)])
    assert writer.watermark() == Watermark()
    writer.commit(Watermark(cluster="c", offsets={0: 5, 3: 17}, timestamp_ms=99))
    writer.close()
    again = TantivyWriter(generation)
    assert again.watermark() == Watermark(cluster="c", offsets={0: 5, 3: 17}, timestamp_ms=99)
    assert found(TantivySearcher(generation), "words") == ["a"]
    again.close()


async def test_the_first_update_of_a_writer_replaces_what_a_merge_is_about(generation: Generation) -> None:
    """A merge that begins before a writer's first commit loses no deletion, whatever the last commit has deleted."""
    writer = TantivyWriter(generation)
    put(writer, *(upsert(f"first/{number}", "words", offset=0) for number in range(5)))  # from which the merge goes on
    for number in range(1, 6):
        put(writer, upsert(f"filler/{number}", "words", offset=number))
    put(writer, upsert("a", "former", offset=6), upsert("b", "words", offset=7))
    put(writer, upsert("c", "words", offset=8))  # the last commit: of the segment before, it deletes the marker
    writer.close()  # before the merge that is due now has ended

    writer = TantivyWriter(generation)
    put(writer, upsert("a", "latter", offset=9))
    await until(lambda: _is_merged(generation), "the merge has ended", seconds=SOON)
    writer.close()
    searcher = TantivySearcher(generation)
    assert (found(searcher, "former"), found(searcher, "latter")) == ([], ["a"])


async def _is_merged(generation: Generation) -> bool:
    return open_index(generation).searcher().num_segments < MERGED_FROM


def test_an_update_replaces_the_whole_document(generation: Generation, writer: TantivyWriter) -> None:
    """The words of the former version find nothing any more, and there is one document."""
    put(writer, upsert("a", "former", offset=1))
    put(writer, upsert("a", "latter", offset=2))
    searcher = TantivySearcher(generation)
    assert (found(searcher, "former"), found(searcher, "latter")) == ([], ["a"])
    assert searcher.stats().documents == 1


def test_a_tombstone_deletes(generation: Generation, writer: TantivyWriter) -> None:
    """A deleted document is gone from answers and from the count; deleting nothing is no fault."""
    put(writer, upsert("a", "words", offset=1), upsert("b", "words", offset=2))
    put(writer, delete("a", offset=3), delete("never-there", offset=4))
    searcher = TantivySearcher(generation)
    assert found(searcher, "words") == ["b"]
    assert searcher.stats().documents == 1


def test_an_older_version_never_replaces_a_newer_one(generation: Generation, writer: TantivyWriter) -> None:
    """Neither one that comes late in the same batch, nor one after a commit, nor one behind the watermark."""
    writer.apply([upsert("a", "newer", offset=7)])
    writer.apply([upsert("a", "older", offset=5)])
    writer.commit(Watermark(offsets={0: 2}))
    writer.apply([upsert("a", "older", offset=6), upsert("b", "behind", offset=1)])
    writer.commit(Watermark(offsets={0: 8}))
    searcher = TantivySearcher(generation)
    assert [found(searcher, text) for text in ("newer", "older", "behind")] == [["a"], [], []]


def test_a_deleted_document_does_not_come_back(generation: Generation, writer: TantivyWriter) -> None:
    """A record from before its tombstone is behind the watermark."""
    put(writer, upsert("a", "words", offset=1))
    put(writer, delete("a", offset=2))
    put(writer, upsert("a", "words", offset=1), upsert("b", "others", offset=3))
    assert found(TantivySearcher(generation), "words") == []


def test_the_second_writer_waits_then_gives_up(generation: Generation, writer: TantivyWriter) -> None:
    """A generation has one writer at a time; when it is closed, the next one gets in."""
    with pytest.raises(WriterLocked, match="another process writes"):
        TantivyWriter(generation, lock_timeout=0.1)
    writer.close()
    TantivyWriter(generation, lock_timeout=0).close()


def test_a_closed_writer_cannot_be_used(writer: TantivyWriter) -> None:
    """Closing is final."""
    writer.close()
    with pytest.raises(WriterFailed, match="closed"):
        writer.apply([upsert("a", "words")])


def fail_to_commit(writer: TantivyWriter) -> None:
    """Let a commit run into a full disk."""
    writer.apply([upsert(f"lost{n}", f"words {n} {'x' * 500}{n}", offset=10 + n) for n in range(100)])
    writer.apply([upsert("kept", "replacement", offset=200)])
    with largest_file(4_096), pytest.raises(WriterFailed) as failure:
        writer.commit(Watermark(offsets={0: 201}))
    assert os.strerror(errno.EFBIG) in str(failure.value)


def test_a_failed_commit_is_not_retried(generation: Generation, writer: TantivyWriter) -> None:
    """After a fault the writer refuses everything, although Tantivy would report success and lose the batch."""
    put(writer, upsert("kept", "original", offset=1))
    fail_to_commit(writer)
    with pytest.raises(WriterFailed):
        writer.commit(Watermark(offsets={0: 201}))
    assert found(TantivySearcher(generation), "original") == ["kept"]


def test_a_replay_after_a_failed_commit_loses_nothing(generation: Generation, writer: TantivyWriter) -> None:
    """The lock is free at once, the watermark is the old one, and applying the batch again completes the index."""
    put(writer, upsert("kept", "original", offset=1))
    fail_to_commit(writer)
    again = TantivyWriter(generation, lock_timeout=0)
    assert again.watermark().offsets == {0: 2}
    put(again, *[upsert(f"lost{n}", "words", offset=10 + n) for n in range(100)], upsert("kept", "new", offset=200))
    searcher = TantivySearcher(generation)
    assert searcher.stats().documents == 101
    assert found(searcher, "original") == []
    again.close()


def test_a_commit_without_its_marker_fails(writer: TantivyWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit counts only when the watermark was read back from it."""
    nothing = marker_document(Watermark(offsets={0: 1}))
    monkeypatch.setattr("indexer.tantivy.writer.marker_document", lambda _: nothing)  # a commit that lost a segment
    with pytest.raises(WriterFailed, match="did not make"):
        put(writer, upsert("a", "words", offset=41))


@pytest.mark.parametrize("markers", [0, 2])
def test_without_a_single_marker_the_copy_counts(generation: Generation, writer: TantivyWriter, markers: int) -> None:
    """An index that lost its marker, or has two, is replayed from the last commit that was read back."""
    put(writer, upsert("a", "words", offset=6))
    writer.close()
    raw = open_index(generation).writer(heap_size=15_000_000, num_threads=1)
    raw.delete_documents_by_term(ID, MARKER_ID)
    for offset in range(markers):
        raw.add_document(marker_document(Watermark(offsets={0: 100 + offset})))
    raw.commit()
    del raw
    again = TantivyWriter(generation)
    assert again.watermark().offsets == {0: 7}
    put(again, upsert("b", "words", offset=8))
    assert again.watermark().offsets == {0: 9}
    again.close()


def test_documents_without_any_watermark_are_unusable(generation: Generation, writer: TantivyWriter) -> None:
    """Nothing says what such an index holds: it must be rebuilt."""
    put(writer, upsert("a", "words", offset=6))
    writer.close()
    raw = open_index(generation).writer(heap_size=15_000_000, num_threads=1)
    raw.delete_documents_by_term(ID, MARKER_ID)
    raw.commit()
    del raw
    (generation.directory / "watermark.json").unlink()
    with pytest.raises(GenerationUnusable, match="has lost its watermark"):
        TantivyWriter(generation)


def damage_manifest(segments: Path) -> None:
    """Break the list of segments."""
    (segments / "meta.json").write_text("{")


def lose_everything(segments: Path) -> None:
    """Remove all files."""
    for path in segments.iterdir():
        path.unlink()


def lose_a_segment(segments: Path) -> None:
    """Remove one file."""
    next(segments.glob("*.term")).unlink()


def truncate_a_segment(segments: Path) -> None:
    """Cut one file short."""
    os.truncate(next(segments.glob("*.term")), 3)


@pytest.mark.parametrize("damage", [damage_manifest, lose_everything, lose_a_segment, truncate_a_segment])
def test_damage_is_named(generation: Generation, writer: TantivyWriter, damage: object) -> None:
    """A damaged index says that it must be rebuilt, and does not keep its lock."""
    assert callable(damage)
    put(writer, upsert("a", "words", offset=6))
    writer.close()
    damage(generation.directory / "segments")
    for _ in range(2):
        with pytest.raises(GenerationUnusable):
            TantivyWriter(generation, lock_timeout=0)


def test_analyzers_are_languages() -> None:
    """Another language is another generation; one that cannot be stemmed is refused by name."""
    assert generation_settings("german") == GenerationSettings("tantivy", 4, "german")
    with pytest.raises(SettingsError, match="analyzer: tantivy has no stemmer for 'klingon'"):
        generation_settings("klingon")


_ENDLESS_WRITER = """
    import sys
    from pathlib import Path
    from indexer.generation import live_generation
    from indexer.tantivy import TantivyWriter
    from streams.watermark import Watermark
    from tests.indexer.tantivy.documents import upsert

    writer = TantivyWriter(live_generation(Path(sys.argv[1]), "tantivy"))
    offset = writer.watermark().offsets.get(0, 0)
    while True:
        for _ in range(50):
            writer.apply([upsert(f"d{offset % 500}", f"word{offset}", offset=offset)])
            offset += 1
        writer.commit(Watermark(offsets={0: offset}))
        print(offset, flush=True)
"""


def test_kill_9_loses_nothing_that_was_committed(generation: Generation, tmp_path: Path) -> None:
    """Killed at any moment, the index opens at once, at a watermark whose documents are all there, each once."""
    acknowledged = 0
    for commits in (1, 3, 6):
        acknowledged = kill_after(commits, tmp_path)
        writer = TantivyWriter(generation)
        offset = writer.watermark().offsets[0]
        searcher = TantivySearcher(generation)
        assert offset >= acknowledged
        assert searcher.stats().documents == min(offset, 500)
        assert found(searcher, f"word{offset - 1}") == [f"d{(offset - 1) % 500}"]
        assert found(searcher, f"word{offset}") == []
        writer.close()


def kill_after(commits: int, root: Path) -> int:
    """Run the writer in a process of its own and kill it in full stride; gives the last offset it reported."""
    script = [sys.executable, "-c", textwrap.dedent(_ENDLESS_WRITER), str(root)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(commits)]
        process.kill()
    return reported[-1]
