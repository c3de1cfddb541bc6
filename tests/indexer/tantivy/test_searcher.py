import string
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from indexer.backend import Query
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, DeadlineExceeded, InvalidQuery
from indexer.generation import Generation
from indexer.tantivy import TantivySearcher, TantivyWriter
from indexer.tantivy.marker import MARKER_ID
from streams.change import Change
from streams.document import DocumentId
from tests.indexer.tantivy.documents import SOON, ask, found, upsert, watermark_after

LIBRARY: list[Change] = [
    upsert("breaker", "A circuit breaker stops calling what keeps failing.", offset=0, title="Circuit breakers"),
    upsert("racing", "The racing circuit was closed after the breaker failed.", offset=1, title="Race tracks"),
    upsert("cafe", "Café opening hours; running water.", offset=2, title="Places", tags=("food", "open late")),
    upsert("path/to/café.txt", "os.path.join joins path segments", offset=3),
]


@pytest.fixture
def writer(generation: Generation) -> Iterator[TantivyWriter]:
    """The writer of the generation."""
    writer = TantivyWriter(generation)
    yield writer
    writer.close()


@pytest.fixture
def searcher(generation: Generation, writer: TantivyWriter) -> TantivySearcher:
    """A searcher over the library."""
    put(writer, LIBRARY)
    return TantivySearcher(generation)


def put(writer: TantivyWriter, changes: list[Change]) -> None:
    """Apply and commit."""
    writer.apply(changes)
    writer.commit(watermark_after(changes))


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("breakers", {"breaker", "racing"}),
        ('"circuit breaker"', {"breaker"}),
        ('"breaker circuit"', set()),
        ('"circuit closed"~1', {"racing"}),
        ("title:breaker", {"breaker"}),
        ("+circuit -racing", {"breaker"}),
        ("circuit AND racing", {"racing"}),
        ("cafe", {"cafe"}),
        ("circut~1", {"breaker", "racing"}),
        ("crcut~2", {"breaker", "racing"}),
        ("circ*", {"breaker", "racing"}),
        ("running*", {"cafe"}),
        ("os.path.join", {"path/to/café.txt"}),
        ("tags:food", {"cafe"}),
        ('tags:"open late"', {"cafe"}),
        ("tags:open", set()),
        ("id:path/to/*", {"path/to/café.txt"}),
        ("source:tests", {"breaker", "racing", "cafe", "path/to/café.txt"}),
        ("NOT circuit", {"cafe", "path/to/café.txt"}),
        ("*", {"breaker", "racing", "cafe", "path/to/café.txt"}),
        ("unheardof", set()),
        ("!!! ... ***", set()),
        ("was AND the", {"racing"}),
        ('"was closed after the"', {"racing"}),
    ],
)
def test_what_a_query_matches(searcher: TantivySearcher, query: str, ids: set[str]) -> None:
    """Every form of the language selects the documents it says it does, and the total counts them."""
    answer = ask(searcher, query)
    assert {hit.id for hit in answer.hits} == ids
    assert answer.total == len(ids)
    assert answer.detail == ""


def test_title_outranks_body(generation: Generation, writer: TantivyWriter) -> None:
    """A document about a word, by its title, comes before one that mentions it."""
    filler = [upsert(f"f{n}", "others", offset=n, title="others about something else") for n in range(10)]
    mention = upsert("a", "a turbine in passing", offset=11, title="others about something else")
    subject = upsert("b", "only passing others", offset=12, title="turbine")
    put(writer, [*filler, mention, subject])
    assert found(TantivySearcher(generation), "turbine") == ["b", "a"]


def test_stop_words_of_a_question_do_not_count(searcher: TantivySearcher) -> None:
    """What has only the small words of a question is no hit, but a query of nothing else still finds something."""
    assert found(searcher, "what was the racing") == ["racing"]
    assert found(searcher, "was the") == ["racing"]


def test_fallback_is_reported(searcher: TantivySearcher) -> None:
    """The answer says that a broken query was read as words."""
    answer = ask(searcher, '"circuit (breaker')
    assert answer.detail.startswith("read as plain words")
    assert answer.hits[0].id == "breaker"


def test_ties_are_in_the_order_of_ids_at_every_cut(generation: Generation, writer: TantivyWriter) -> None:
    """Equal scores are ordered by id across segments, and a larger limit only adds to a smaller one."""
    names = [f"n{(7 * n) % 100:02d}" for n in range(100)]
    for at, name in enumerate(names):
        writer.apply([upsert(name, "same words", offset=at)])
        if at % 10 == 9:
            writer.commit(watermark_after([upsert(name, "", offset=at)]))
    searcher = TantivySearcher(generation)
    for limit in (1, 7, 50, 99, 100, 101):
        assert found(searcher, "words", limit=limit) == sorted(names)[:limit]
    assert ask(searcher, "words", limit=3).total == 100


def test_newest_first(searcher: TantivySearcher) -> None:
    """Without a query the latest records come first, scored by their timestamps."""
    answer = searcher.newest(3, Deadline.after(SOON))
    assert [hit.id for hit in answer.hits] == ["path/to/café.txt", "cafe", "racing"]
    assert answer.hits[0].score == 1_700_000_000_003
    assert answer.total == 4


def test_the_marker_is_hidden(searcher: TantivySearcher) -> None:
    """The document that carries the watermark is in no answer, no count and cannot be fetched."""
    everything = [found(searcher, text, limit=100) for text in ("*", "NOT zzz", f"id:{MARKER_ID}", "id:*", "-a -b")]
    assert not any(MARKER_ID in ids for ids in everything)
    assert len(everything[0]) == 4
    assert searcher.stats().documents == 4
    assert MARKER_ID not in [hit.id for hit in searcher.newest(100, Deadline.after(SOON)).hits]
    assert searcher.fetch([DocumentId(MARKER_ID)], Deadline.after(SOON)) == {}


def test_fetch_gives_back_the_document_and_its_position(searcher: TantivySearcher) -> None:
    """What was indexed comes back as it was; an unknown id is left out."""
    fetched = searcher.fetch([DocumentId("cafe"), DocumentId("nobody")], Deadline.after(SOON))
    assert list(fetched) == ["cafe"]
    assert fetched[DocumentId("cafe")].document == LIBRARY[2].document  # type: ignore[union-attr]  # an upsert
    assert fetched[DocumentId("cafe")].position == LIBRARY[2].position


def test_a_commit_is_seen_by_the_next_call(searcher: TantivySearcher, writer: TantivyWriter) -> None:
    """The searcher follows its writer, and the watermark of an answer is the one of its data."""
    assert ask(searcher, "zeppelin").watermark.offsets == {0: 4}
    writer.apply([upsert("new", "zeppelin", offset=9)])
    assert found(searcher, "zeppelin") == []
    writer.commit(watermark_after([upsert("new", "", offset=9)]))
    answer = ask(searcher, "zeppelin")
    assert ([hit.id for hit in answer.hits], answer.watermark.offsets) == (["new"], {0: 10})


@pytest.mark.parametrize("limit", [0, -1, 10_001, 2**62])
def test_a_limit_out_of_bounds_is_refused(searcher: TantivySearcher, limit: int) -> None:
    """Tantivy panics at some of these and takes all memory at others."""
    with pytest.raises(InvalidQuery, match="limit must be 1 to 10000"):
        ask(searcher, "circuit", limit=limit)


@pytest.mark.parametrize(
    "bomb", ["(" * 100_000 + ")" * 100_000, " OR ".join(["a"] * 50_000), "(" * 2_000 + "a" + ")" * 2_000]
)
def test_a_bomb_leaves_the_searcher_unharmed(searcher: TantivySearcher, bomb: str) -> None:
    """A query that would kill the process inside Tantivy is refused, and the next one is answered."""
    with pytest.raises(InvalidQuery):
        ask(searcher, bomb)
    assert found(searcher, "racing") == ["racing"]


def test_the_heaviest_query_allowed_is_answered_in_time(searcher: TantivySearcher) -> None:
    """As many fuzzy words and one-letter prefixes as fit take no longer than a second."""
    query = " ".join(f"{letter}bcdefgh~2 {letter}*" for letter in 2 * string.ascii_letters[:16])
    assert searcher.search(Query(query, 10_000, Deadline.after(1))).total == 4


def test_a_passed_deadline_stops_the_search(searcher: TantivySearcher) -> None:
    """No work is done for an answer that nobody waits for."""
    with pytest.raises(DeadlineExceeded):
        searcher.search(Query("circuit", 10, Deadline.after(0)))


def test_an_index_that_was_not_written_yet_is_unavailable(generation: Generation) -> None:
    """Before the writer has made the index, there is nothing to open."""
    with pytest.raises(BackendUnavailable, match="was not written yet"):
        TantivySearcher(generation)


def test_threads_share_a_searcher(searcher: TantivySearcher, writer: TantivyWriter) -> None:
    """Concurrent searches during commits answer from one snapshot each: the documents of exactly their watermark."""
    done = threading.Event()

    def search_all_the_time() -> int:
        answers = 0
        while not done.is_set() or not answers:
            answer = ask(searcher, "ballast", limit=1_000)
            assert answer.total == max(0, answer.watermark.offsets[0] - 10)
            answers += 1
        return answers

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(search_all_the_time) for _ in range(4)]
        for offset in range(10, 40):
            put(writer, [upsert(f"b{offset}", "ballast", offset=offset)])
        done.set()
        assert all(future.result() for future in running)
