"""The figures of a comparison, and its verdicts."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.backend import Answer, Hit
from indexer.registry import LOCAL_ENGINES
from infra.bench.building import Stopwatch, batches, build_index
from infra.bench.corpus import spread, survey
from infra.bench.memory import reader_memory
from infra.bench.okapi import same_ranking
from infra.bench.report import make_agreement, make_row
from infra.bench.ripgrep import same_matches
from infra.bench.timing import Contender, percentile, run_in_turns
from streams.document import Document, DocumentId
from streams.watermark import Watermark
from tests.infra.bench.folders import texts, write_sources

IDS = [DocumentId(name) for name in "abcd"]


def answer(scores: dict[str, float], *, total: int | None = None) -> Answer:
    """An answer of ours."""
    hits = [Hit(DocumentId(name), score) for name, score in scores.items()]
    return Answer(hits, len(hits) if total is None else total, Watermark())


def documents(count: int) -> list[Document]:
    """Documents to index."""
    return [Document(id=DocumentId(f"d{number}"), title="t", body=f"word{number} common") for number in range(count)]


@pytest.mark.parametrize(("percent", "expected"), [(50, 3.0), (99, 5.0), (100, 5.0), (20, 1.0), (21, 2.0)])
def test_percentiles_are_the_nearest_rank(percent: float, expected: float) -> None:
    """The smallest value that so many percent do not exceed."""
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_a_percentile_leaves_no_more_than_its_share_above(values: list[float], percent: float) -> None:
    """The definition itself, for any values."""
    found = percentile(values, percent)
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-6
    assert sum(value < found for value in values) < percent / 100 * len(values) + 1e-6


def test_rows_hold_the_median_and_its_ratio_to_ours() -> None:
    """A ratio over one says that the peer is slower."""
    row = make_row("peer", 7, [4.0, 2.0, 100.0], [1.0, 2.0, 3.0])
    assert (row.median_ms, row.p99_ms, row.ratio) == (4.0, 100.0, 2.0)


def test_engines_take_turns_and_each_query_comes_back_only_after_all_others() -> None:
    """No engine always goes first, and none answers from what it has just computed."""
    calls: list[str] = []

    def engine(name: str) -> Callable[[str], object]:
        return lambda query: calls.append(name + query)

    contenders = [Contender("a", engine("a"), runs=2), Contender("b", engine("b"), runs=1)]
    shares: list[float] = []
    run_in_turns(contenders, ["1", "2"], on_pass=shares.append)
    assert calls == ["a1", "a2", "a1", "b1", "b2", "a2"]
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_the_first_of_several_runs_does_not_count() -> None:
    """What a first run reads from disk is no part of a warm time."""
    seen: set[str] = set()

    def search(query: str) -> str:
        until = time.perf_counter() + (0.0 if query in seen else 0.05)
        while time.perf_counter() < until:
            pass
        seen.add(query)
        return query.upper()

    timed = run_in_turns([Contender("a", search, runs=2)], ["x", "y"], on_pass=lambda _: None)["a"]
    assert max(timed.milliseconds) < 20
    assert timed.answers == ["X", "Y"]


def test_equal_scores_agree_whatever_the_order_of_ties() -> None:
    """Documents of equal score may change places, and rank_bm25 also ranks those that do not match."""
    assert same_ranking(answer({"a": 2.0, "b": 1.0}), [(0, 2.000001), (1, 1.0), (3, 0.0)], IDS)
    assert same_ranking(answer({"a": 2.0, "b": 1.0}), [(0, 2.0), (2, 1.0)], IDS)


@pytest.mark.parametrize(
    "theirs",
    [
        [(0, 2.0), (1, 1.0001)],
        [(1, 2.0), (0, 1.0)],
        [(0, 2.0)],
        [(0, 2.0), (1, 1.0), (2, 0.5)],
        [],
    ],
)
def test_other_scores_are_noticed(theirs: list[tuple[int, float]]) -> None:
    """Another score, the right scores on the wrong documents, one document more or fewer."""
    assert not same_ranking(answer({"a": 2.0, "b": 1.0}), theirs, IDS)


def test_other_matches_are_noticed() -> None:
    """A document more, one fewer, another one, a count that is not that of the hits."""
    ours = answer({"a": 2.0, "b": 1.0})
    assert same_matches(ours, frozenset("ab"))
    assert not any(same_matches(ours, frozenset(names)) for names in ("a", "abc", "ac", ""))
    assert not same_matches(answer({"a": 2.0, "b": 1.0}, total=3), frozenset("ab"))


def test_an_agreement_names_what_differs() -> None:
    """Whoever reads of a difference can repeat the query."""
    agreement = make_agreement("peer", "scores", [("same", True), ("other", False)])
    assert (agreement.queries, agreement.differing, agreement.examples) == (2, 1, ["other"])


@given(st.integers(0, 60), st.integers(1, 80))
def test_fewer_documents_come_from_all_over(total: int, wanted: int) -> None:
    """Exactly as many as wanted, in order, at even distances."""
    everything = documents(total)
    chosen = [int(document.id[1:]) for document in spread(everything, total, wanted)]
    assert len(chosen) == min(total, wanted)
    distances = [after - before for before, after in pairwise([-1, *chosen])]
    assert not distances or max(distances) - min(distances) <= 1
    assert not chosen or chosen[-1] == total - 1


def test_a_corpus_is_the_text_files_bounded_on_request(tmp_path: Path) -> None:
    """What is no text is not counted, and a part of a part is a part of the whole."""
    folder = write_sources(tmp_path)
    whole, part = survey(folder, files=None), survey(folder, files=5)
    assert (whole.documents, part.found, part.documents) == (len(texts()), len(texts()), 5)
    ids = [document.id for document in part.read()]
    assert len(ids) == 5
    assert {document.id for document in part.read(2)} < set(ids)


def test_batches_hold_every_document_once() -> None:
    """Neither the last, short batch is lost nor is one bigger than an indexer's."""
    everything = documents(4_100)
    grouped = list(batches(everything))
    assert [len(batch) for batch in grouped] == [2_000, 2_000, 100]
    assert [document for batch in grouped for document in batch] == everything


def test_large_documents_make_small_batches() -> None:
    """A batch is bounded in bytes too."""
    large = [Document(id=DocumentId(str(number)), body="x" * 12_000_000) for number in range(4)]
    assert [len(batch) for batch in batches(large)] == [3, 1]


@pytest.mark.parametrize("name", ["bm25", "native"])
def test_an_index_is_built_measured_and_read_in_a_fresh_process(name: str, tmp_path: Path) -> None:
    """Its size, its time and the memory of a reader are all there, and plausible."""
    generation, build = build_index(LOCAL_ENGINES[name], tmp_path, documents(50))
    searcher = LOCAL_ENGINES[name].searcher(generation)
    assert searcher.stats().documents == build.documents == 50
    searcher.close()
    assert build.seconds > 0
    assert build.index_bytes is not None
    assert build.index_bytes >= largest_file(generation.directory)
    memory = reader_memory(name, tmp_path, ["common", "word7"], 10)
    assert memory is None or 0 <= memory < 100_000_000


def largest_file(folder: Path) -> int:
    """Bytes of the largest file of an index."""
    return max(file.stat().st_size for file in folder.iterdir() if file.is_file())


def test_a_stopwatch_counts_only_what_it_is_told_to() -> None:
    """Reading files between two batches is no part of indexing them."""
    watch = Stopwatch()
    with watch.running():
        pass
    begun = time.perf_counter()
    while time.perf_counter() < begun + 0.02:
        pass
    with watch.running():
        pass
    assert 0 <= watch.seconds < 0.02
