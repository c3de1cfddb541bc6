"""What the bm25 method finds, beyond the equality of its scores."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from indexer.analysis import get_analyzer
from indexer.backend import Answer, Query
from indexer.bm25 import Bm25Searcher, Bm25Writer, generation_settings
from indexer.bm25.postings import Bm25Engine
from indexer.bm25.scoring import TITLE_REPETITIONS
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, DeadlineExceeded
from indexer.generation import Generation, open_or_create_live
from indexer.segment import SnapshotReader
from indexer.segment.merging import MAX_SEGMENTS
from streams.change import Change
from streams.errors import SettingsError
from tests.indexer.contract.changes import delete, upsert, watermark_after


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    """An empty generation."""
    return open_or_create_live(tmp_path, generation_settings())


@pytest.fixture
def searcher(generation: Generation) -> Iterator[Bm25Searcher]:
    """A searcher of it."""
    opened = Bm25Searcher(generation)
    yield opened
    opened.close()


def _write(generation: Generation, *changes: Change) -> None:
    writer = Bm25Writer(generation)
    writer.apply(changes)
    writer.commit(watermark_after(*changes))
    writer.close()


def _ask(searcher: Bm25Searcher, text: str) -> Answer:
    return searcher.search(Query(text, 10, Deadline.after(60)))


def test_any_term_matches(generation: Generation, searcher: Bm25Searcher) -> None:
    """A document needs one term of the query, and more of them put it higher."""
    _write(
        generation,
        upsert("both", "open circuit breaker", offset=0),
        upsert("one", "circuit diagrams drawn", offset=1),
        upsert("none", "something else entirely", offset=2),
        upsert("other", "nothing of interest here", offset=3),
    )
    answer = _ask(searcher, "circuit breakers")
    assert [hit.id for hit in answer.hits] == ["both", "one"]
    assert answer.total == 2


def test_title_counts_as_repetitions(generation: Generation, searcher: Bm25Searcher) -> None:
    """A word in the title scores as if it stood in the body so many times."""
    _write(
        generation,
        upsert("title", "hay", title="needle", offset=0),
        upsert("body", "needle " * TITLE_REPETITIONS + "hay", offset=1),
        upsert("once", "needle hay hay hay", offset=2),
        *(upsert(f"x{number}", "something else", offset=3 + number) for number in range(5)),
    )
    scores: dict[str, float] = {hit.id: hit.score for hit in _ask(searcher, "needle").hits}
    assert scores["title"] == scores["body"] > scores["once"]


def test_stop_words_find_nothing(generation: Generation, searcher: Bm25Searcher) -> None:
    """A query without terms has no matches."""
    _write(generation, upsert("a", "to be or not to be", offset=0))
    assert _ask(searcher, "to be").total == 0


def test_documents_without_terms(generation: Generation, searcher: Bm25Searcher) -> None:
    """Documents that give no term are stored, counted and harmless."""
    _write(generation, upsert("a", "...", offset=0), upsert("b", "the", offset=1))
    assert searcher.stats().documents == 2
    assert _ask(searcher, "anything").total == 0


def test_identifiers_are_found_whole_and_by_part(generation: Generation, searcher: Bm25Searcher) -> None:
    """Code is found by the identifier and by the words in it."""
    _write(generation, upsert("a", "def openCircuitBreaker(self): ...", offset=0), upsert("b", "no code", offset=1))
    for query in ("openCircuitBreaker", "opencircuitbreaker", "circuit", "open breakers"):
        assert [hit.id for hit in _ask(searcher, query).hits] == ["a"]


def test_deleted_documents_leave_the_statistics(generation: Generation, searcher: Bm25Searcher) -> None:
    """The score after a delete is that of an index which never had the document."""
    kept = [upsert(f"k{number}", f"needle in hay {number}", offset=number) for number in range(3)]
    kept += [upsert(f"x{number}", f"nothing {number}", offset=10 + number) for number in range(9)]
    _write(generation, *kept)
    before = _ask(searcher, "needle").hits
    _write(generation, upsert("gone", "needle needle and much more besides", offset=30))
    assert [hit.score for hit in _ask(searcher, "needle").hits] != [hit.score for hit in before]
    _write(generation, delete("gone", offset=31))
    assert _ask(searcher, "needle").hits == before


def test_merging_changes_nothing(tmp_path: Path) -> None:
    """Many commits, merged on the way, answer as one commit of the same documents does, to the last digit."""
    words = ["circuit", "breaker", "open", "half", "closed", "timeout", "retry"]
    changes: list[Change] = [
        upsert(f"d{at}", " ".join(words[at % factor] for factor in range(1, 8)) * (at % 3 + 1), offset=at)
        for at in range(50)
    ]
    at_once = open_or_create_live(tmp_path / "at once", generation_settings())
    _write(at_once, *changes)
    one_by_one = open_or_create_live(tmp_path / "one by one", generation_settings())
    writer = Bm25Writer(one_by_one)
    for change in changes:
        writer.apply([change])
        writer.commit(watermark_after(change))
    writer.close()
    expected, merged = Bm25Searcher(at_once), Bm25Searcher(one_by_one)
    assert len(merged._reader.current().segments) <= MAX_SEGMENTS
    for word in words:
        assert _ask(merged, f"{word} circuit") == _ask(expected, f"{word} circuit")
    expected.close()
    merged.close()


def test_plain_analyzer(tmp_path: Path) -> None:
    """A generation keeps the analyzer that it was made with."""
    generation = open_or_create_live(tmp_path, generation_settings("plain"))
    _write(generation, upsert("a", "the breakers", offset=0))
    searcher = Bm25Searcher(generation)
    assert [_ask(searcher, query).total for query in ("the", "breakers", "breaker")] == [1, 1, 0]
    searcher.close()


def test_unknown_analyzer() -> None:
    """A generation cannot be made with an analyzer that nobody knows."""
    with pytest.raises(SettingsError, match="klingon"):
        generation_settings("klingon")


def test_ids_of_any_length_are_read(generation: Generation, searcher: Bm25Searcher) -> None:
    """Also many long ones together, which are more than there is room for at first, in any script."""
    ids = [f"straße/分かち書き/{number:03}/".ljust(400, "x") for number in range(60)]
    _write(generation, *(upsert(each, "needle", offset=number) for number, each in enumerate(ids)))
    answer = searcher.search(Query("needle", 50, Deadline.after(60)))
    assert [hit.id for hit in answer.hits] == ids[:50]


def test_hits_are_in_order_across_segments(generation: Generation, searcher: Bm25Searcher) -> None:
    """Best first, and by id where scores are equal, in whatever segments they lie; a smaller page is the top of it."""
    ids = [f"{each:03}"[::-1] + "ß" * (each % 3) for each in range(400)]
    for start in range(0, len(ids), 100):
        some = enumerate(ids[start : start + 100], start)
        _write(generation, *(upsert(each, "needle " * (at % 7) + "hay straw", offset=at) for at, each in some))
    hits = searcher.search(Query("hay needle", len(ids), Deadline.after(60))).hits
    assert len(hits) == len({hit.id for hit in hits}) == len(ids)
    assert len({hit.score for hit in hits}) == 7
    assert list(hits) == sorted(hits, key=lambda hit: (-hit.score, hit.id))
    for limit in (1, 2, 3, 4, 5, 13, 14, 99, 399):
        assert searcher.search(Query("hay needle", limit, Deadline.after(60))).hits == hits[:limit]


def test_a_query_leaves_nothing_behind(generation: Generation, searcher: Bm25Searcher) -> None:
    """Queries of any size, in any order, and those that are given up, answer as each does alone."""
    _write(generation, *(upsert(f"{at}", f"{_word(at)} {_word(at % 9)} hay", offset=at) for at in range(300)))
    texts = ["hay", _word(3), " ".join(map(_word, range(200))), f"{_word(7)} hay {_word(7)}", "the", "unheard"]
    asked = [Query(text, limit, Deadline.after(60)) for text in texts for limit in (1, 10, 500)]
    alone = []
    for query in asked:
        with ThreadPoolExecutor(1) as thread:  # whose memory nobody has used
            alone.append(thread.submit(searcher.search, query).result())
    for query, answer in [*zip(asked, alone, strict=True), *reversed(list(zip(asked, alone, strict=True)))]:
        with pytest.raises(DeadlineExceeded):
            searcher.search(Query("hay", 10, Deadline.after(-1)))
        assert searcher.search(query) == answer


def test_repeated_terms_count_as_often_as_they_are_asked_for(generation: Generation, searcher: Bm25Searcher) -> None:
    """Wherever in the query they stand, and of whatever form."""
    _write(generation, *(upsert(f"{at}", f"{_word(at)} needles", offset=at) for at in range(4)))
    once = _ask(searcher, _word(2)).hits[0].score
    for text, times in ((f"{_word(2)} {_word(2)}", 2), (f"{_word(2)} unheard {_word(2).upper()} of {_word(2)}", 3)):
        answer = _ask(searcher, text)
        assert [hit.id for hit in answer.hits] == ["2"]
        assert answer.hits[0].score == pytest.approx(times * once, rel=1e-9)


@pytest.mark.parametrize("section", ["id.text", "id.starts"])
def test_a_damaged_id_is_not_given(generation: Generation, section: str) -> None:
    """What a hit's id is read from is checked like everything else, before it is read for the first time."""
    count, found = 20_000, 10_000
    changes = [upsert(f"{number:020}", _word(number), offset=number) for number in range(count)]
    _write(generation, *changes)
    reader = SnapshotReader(generation.directory, Bm25Engine(get_analyzer(generation.settings.analyzer)))
    file = reader.current().segments[0].file
    at = file.section(section, np.uint8 if section == "id.text" else np.uint64).at
    _flip_bit(file.path, at + found * (20 if section == "id.text" else 8))
    reader.close()
    searcher = Bm25Searcher(generation)
    assert [hit.id for hit in _ask(searcher, _word(10)).hits] == [f"{10:020}"]
    with pytest.raises(BackendUnavailable, match=section):
        _ask(searcher, _word(found))
    searcher.close()


def _word(number: int) -> str:
    """A word of its own for each number, of one term."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number)) + "z"


def _flip_bit(path: Path, at: int) -> None:
    """Change a bit of a file that nobody has open."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
