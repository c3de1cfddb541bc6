"""The native method finds exactly what a scan of the raw text finds, and ranks it as documented."""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.backend import Answer, Query
from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded, InvalidQuery
from indexer.generation import Generation, open_or_create_live
from indexer.native import (
    NativeSearcher,
    NativeWriter,
    compile_pattern,
    generation_settings,
    searchable_text,
    verification,
)
from indexer.native.ranking import PATH, scores
from indexer.native.tallies import COUNTED_BYTES, COUNTED_LINES
from streams.change import Change
from tests.indexer.contract.changes import delete, upsert, watermark_after
from tests.indexer.native.regexes import AGREED_REGEXES, LETTERS, TEXTS
from tests.indexer.native.tallying import lines_of, tally

SOON = 60.0


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    """An empty generation."""
    return open_or_create_live(tmp_path, generation_settings())


@pytest.fixture
def searcher(generation: Generation) -> Iterator[NativeSearcher]:
    """A searcher of it."""
    opened = NativeSearcher(generation)
    yield opened
    opened.close()


def _write(generation: Generation, *commits: Iterable[Change]) -> None:
    writer = NativeWriter(generation)
    for changes in map(list, commits):
        writer.apply(changes)
        writer.commit(watermark_after(*changes))
    writer.close()


def _ask(searcher: NativeSearcher, text: str, deadline: Deadline | None = None) -> Answer:
    return searcher.search(Query(text, 1_000, deadline or Deadline.after(SOON)))


def _found(searcher: NativeSearcher, text: str) -> set[str]:
    return {hit.id for hit in _ask(searcher, text).hits}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), regexes=st.lists(AGREED_REGEXES, max_size=6))
def test_regex_matches_are_those_of_python(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]], regexes: list[str]
) -> None:
    """Over documents in several segments, a regex finds those that Python's `re` finds in the raw text."""
    generation = open_or_create_live(tmp_path_factory.mktemp("native"), generation_settings())
    upserts = [upsert(f"d{at}", body, title=title, offset=at) for at, (title, body) in enumerate(texts)]
    _write(generation, *([change] for change in upserts))
    searcher = NativeSearcher(generation)
    for regex in regexes:
        compiled = re.compile(regex, re.MULTILINE | re.ASCII)
        expected = {change.id for change in upserts if compiled.search(searchable_text(change.document))}
        assert _found(searcher, f"/{regex}/") == expected, regex
    searcher.close()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=6), literal=st.text(alphabet=LETTERS + " \n", min_size=1, max_size=5))
def test_literal_matches_are_those_of_a_substring_search(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], literal: str
) -> None:
    """A literal with an upper-case letter finds what `in` finds; one without, what it finds when case is ignored."""
    generation = open_or_create_live(tmp_path_factory.mktemp("native"), generation_settings())
    changes = [upsert(f"d{at}", text.replace("ẞ", ""), offset=at) for at, text in enumerate(texts)]
    _write(generation, list(changes))
    searcher = NativeSearcher(generation)
    flags = re.NOFLAG if any(map(str.isupper, literal)) else re.IGNORECASE
    compiled = re.compile(re.escape(literal), flags)
    assert _found(searcher, literal) == {c.id for c in changes if compiled.search(c.document.body)}
    searcher.close()


def test_matches_survive_updates_and_merges(generation: Generation, searcher: NativeSearcher) -> None:
    """After many commits with updates and deletes, exactly the live versions are found."""
    numbers = count()
    commits: list[list[Change]] = []
    for _ in range(30):
        offset = next(numbers)
        commits.append([upsert(f"d{offset % 7}", f"version{offset} common\nline", title="Títle", offset=offset)])
    commits.append([delete("d3", offset=next(numbers))])
    _write(generation, *commits)
    assert _found(searcher, "common") == {f"d{number}" for number in (0, 1, 2, 4, 5, 6)}
    assert [_found(searcher, f"version{offset} ") for offset in (21, 22, 24, 28, 29)] == [
        set(),
        set(),
        set(),
        {"d0"},
        {"d1"},
    ]
    assert len(_found(searcher, "/^TÍTLE$/i")) == 6


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(st.text(), st.text(min_size=1)), min_size=1, max_size=12))
def test_documents_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]]
) -> None:
    """Title and body are stored in the text alone, and are whole again, line ends and all, also after a merge."""
    generation = open_or_create_live(tmp_path_factory.mktemp("native"), generation_settings())
    upserts = [upsert(f"d{at}", body, title=title, offset=at) for at, (title, body) in enumerate(texts)]
    _write(generation, *([change] for change in upserts))
    searcher = NativeSearcher(generation)
    fetched = searcher.fetch([change.id for change in upserts], Deadline.after(SOON))
    assert {name: stored.document for name, stored in fetched.items()} == {each.id: each.document for each in upserts}
    assert [stored.document for stored in searcher.documents()] == [each.document for each in upserts]
    searcher.close()


def test_texts_are_stored_once(generation: Generation, searcher: NativeSearcher) -> None:
    """A text that hardly compresses takes little more than its bytes."""
    body = " ".join(sha256(str(number).encode()).hexdigest() for number in range(20_000))
    _write(generation, [upsert("d", body, offset=0)])
    assert searcher.stats().size_bytes < 1.2 * len(body)


def test_deleted_documents_of_a_segment_are_not_found(generation: Generation, searcher: NativeSearcher) -> None:
    """A document is gone at once, also while the segment that holds it has others that live."""
    _write(generation, [upsert(f"d{number}", "some words", offset=number) for number in range(5)])
    _write(generation, [delete("d3", offset=5)])
    assert len(searcher._reader.current().segments) == 1
    for query in ("words", "/w.r/", "/some|word/", "/some.*words/"):
        assert _found(searcher, query) == {"d0", "d1", "d2", "d4"}


def test_title_and_body_are_separate_lines(generation: Generation, searcher: NativeSearcher) -> None:
    """The title is the first line of the searchable text, where there is one."""
    _write(generation, [upsert("a", "body", title="title", offset=0), upsert("b", "title", offset=1)])
    assert _found(searcher, "title") == {"a", "b"}
    assert _found(searcher, "title\nbody") == {"a"}
    assert _found(searcher, "/\\Atitle$/") == {"a", "b"}


def test_ranking(generation: Generation, searcher: NativeSearcher) -> None:
    """A title match goes first, then whole words, then many matches in little text."""
    bodies = {
        "part of a word": "needless " + "hay " * 40,
        "long": "needle " + "hay " * 40,
        "dense": "needle needle needle",
        "title": "nothing else " + "hay " * 40,
    }
    changes: list[Change] = [
        upsert(name, body, title="Needle" if name == "title" else "", offset=at)
        for at, (name, body) in enumerate(bodies.items())
    ]
    _write(generation, changes)
    hits = _ask(searcher, "needle").hits
    assert [hit.id for hit in hits] == ["title", "dense", "long", "part of a word"]


def test_a_match_in_the_path_lifts_a_document(generation: Generation, searcher: NativeSearcher) -> None:
    """By less than one in the title, and not a document whose text does not match."""
    bodies = {"lib/hay.c": "needle", "lib/needle.c": "needle", "other/needle.c": "hay", "title": "needle"}
    changes = [
        upsert(name, body, title="needle" if name == "title" else "", offset=at)
        for at, (name, body) in enumerate(bodies.items())
    ]
    _write(generation, changes)
    for query in ("needle", "/need.e/", "/NEEDLE/i"):
        hits = _ask(searcher, query).hits
        assert [hit.id for hit in hits] == ["title", "lib/needle.c", "lib/hay.c"]
        assert hits[1].score == hits[2].score + PATH


@pytest.mark.parametrize(
    "query", ["needle", "/need.e/", "/n.edles?/i", "kite", "/kite/i", "/(?s:kite)/i", r"/^lib/", "s"]
)
@pytest.mark.parametrize("script", ["ascii", "any"])
def test_paths_count_whatever_searches_them(
    generation: Generation, searcher: NativeSearcher, query: str, script: str
) -> None:
    """Few documents or many, kernels or RE2, Kelvin signs in ids or not: any page begins as the page of all does."""
    names = ["lib/needle", "lib/Needles", "kite", "hay"] + (["\u212aite", "ſ", "é"] if script == "any" else [])
    upserts = [
        upsert(f"{names[at % len(names)]}/{at:03}", "lib/ needle kites\n" * (1 + at % 3), offset=at)
        for at in range(120)
    ]
    _write(generation, upserts[:4], upserts[4:])
    bodies = {change.id: change.document.body for change in upserts}
    everything = _ask(searcher, query)
    assert everything.total == len(upserts)
    regex = compile_pattern(query)
    texts_score: dict[str, set[float]] = {}
    for hit in everything.hits:
        lines = bodies[hit.id]
        texts_score.setdefault(lines, set()).add(round(hit.score - PATH * bool(regex.spans(hit.id, 1)), 9))
    assert [len(scored) for scored in texts_score.values()] == [1, 1, 1]
    for limit in (1, 5, 30):
        assert searcher.search(Query(query, limit, Deadline.after(SOON))).hits == everything.hits[:limit]


def test_unusable_pattern(searcher: NativeSearcher) -> None:
    """A query that cannot be run is the client's to change."""
    with pytest.raises(InvalidQuery):
        _ask(searcher, "/(/")


def test_detail_reaches_the_client(searcher: NativeSearcher) -> None:
    """The answer tells how a query was read when that may surprise."""
    assert "literal" in _ask(searcher, "/usr/bin").detail


def test_deadline_while_scanning(generation: Generation, searcher: NativeSearcher) -> None:
    """A scan that runs out of time answers with what it has, as a lower bound; with nothing, it says so."""
    _write(generation, [upsert(f"d{number}", "some words", offset=number) for number in range(50)])
    ticks = count()
    partial = _ask(searcher, "/(?s:w.r)/", Deadline(20, clock=lambda: next(ticks)))
    assert 0 < partial.total < 50
    assert len(partial.hits) == partial.total
    assert partial.total_relation == "gte"
    ticks = count()
    with pytest.raises(DeadlineExceeded):
        _ask(searcher, "/(?s:[so][xy])/", Deadline(20, clock=lambda: next(ticks)))
    assert _ask(searcher, "/(?s:w.r)/").total_relation == "eq"


@pytest.mark.parametrize("query", ["some words", "/w[ao]rds/", "/some w.*s/"])
def test_deadline_of_kernels(
    generation: Generation, searcher: NativeSearcher, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """What kernels search is searched in parts, and no part is begun when the time is up."""
    monkeypatch.setattr(verification, "_CALL_BYTES", 20)
    _write(generation, [upsert(f"d{number}", "some words", offset=number) for number in range(50)])
    ticks = count()  # of a clock that stops in the time that is kept for ranking
    partial = _ask(searcher, query, Deadline(20, clock=lambda: min(next(ticks), 17)))
    assert 0 < partial.total < 50
    assert partial.total_relation == "gte"
    whole = _ask(searcher, query)
    assert (whole.total, whole.total_relation) == (50, "eq")


@pytest.mark.parametrize(
    "query", ["/alpha|gamma ray/", "/alpha|beta|gamma/", "/x (alpha|beta) y/", "/ALPHA|Beta/i", "/alpha|beta|absent/"]
)
def test_each_literal_is_looked_for_where_it_can_be(
    generation: Generation, searcher: NativeSearcher, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Documents that can hold one of several literals, some or none of them are found and rated as all together are."""
    words = ["alpha", "beta", "gamma ray", "gam mar ray"]
    bodies = ["\n".join(f"x {word} y" for at, word in enumerate(words) if number >> at & 1) for number in range(16)]
    _write(generation, [upsert(f"d{number}", body, offset=number) for number, body in enumerate(bodies)])
    together = _ask(searcher, query)
    pattern = re.compile(query.strip("/i"), re.IGNORECASE * query.endswith("i"))
    assert {hit.id for hit in together.hits} == {f"d{at}" for at, body in enumerate(bodies) if pattern.search(body)}
    monkeypatch.setattr(verification, "_CALL_BYTES", 20)
    apart = _ask(searcher, query)
    assert (apart.hits, apart.total) == (together.hits, together.total)


def _varied_bodies(number: int) -> str:
    words = ("Needle", "needless", "hay", "ſneedle", "\u212aite", "NEEDLE kite\n", "éneedle", "asks")
    return " ".join(words[(number * 7 + place * place) % len(words)] for place in range(number % 90 + 1))


@pytest.mark.parametrize(
    ("literal", "regex"), [("needle", "/needle/i"), ("NEEDLE", "/NEEDLE/"), ("kite", "/kite/i"), ("s", "/s/i")]
)
def test_literals_score_as_regexes_do(
    generation: Generation, searcher: NativeSearcher, literal: str, regex: str
) -> None:
    """The compiled scan, RE2 on gathered lines and RE2 on whole texts give the same documents and scores."""
    bodies = [_varied_bodies(number) for number in range(300)]
    _write(
        generation,
        *([upsert(f"d{at:03}", body, title=body[: at % 9], offset=at)] for at, body in enumerate(bodies[:20])),
        [
            upsert(f"d{at:03}", body, title="a\nkite" * (at % 2), offset=at)
            for at, body in enumerate(bodies)
            if at >= 20
        ],
    )
    expected = _ask(searcher, literal)
    assert expected.total > 100
    for query in (regex, f"/(?-m){regex[1:]}", f"/{regex[1:]}s" if regex.endswith("i") else regex):
        answer = _ask(searcher, query)
        assert (answer.total, answer.hits) == (expected.total, expected.hits), query


@pytest.mark.parametrize("query", ["needle", "/n.+e/", "/[nk][ei]/", "s", "/needle|kite/", "/(?s:)n.+e/", "/needle/s"])
def test_the_best_are_the_best_of_all(generation: Generation, searcher: NativeSearcher, query: str) -> None:
    """What is not scored, since it cannot be among the best, is not: any page begins as the page of all does."""
    _write(generation, [upsert(f"d{at:03}", _varied_bodies(at * 31), offset=at) for at in range(700)])
    everything = _ask(searcher, query)
    assert everything.total == len(everything.hits)
    for limit in (1, 3, 10, 100):
        page = searcher.search(Query(query, limit, Deadline.after(SOON)))
        assert page.hits == everything.hits[:limit]
        assert page.total == everything.total


@pytest.mark.parametrize("title", ["", "about something", "needle"])
@pytest.mark.parametrize(
    "query",
    [
        "needle",
        "/needle/i",
        "/NEEDLE|needle/",
        "/(?s:needle)/i",
        "/needle/is",
        "/nEEdle|xyz/is",
        r"/\Qneedle/i",
        r"/\Qneedle\E/",
        "/needle\\A|needle/",
    ],
)
def test_what_counts(generation: Generation, searcher: NativeSearcher, query: str, title: str) -> None:
    """Lines in reach of the first one, 16 at most, and those with a whole word, whichever way a query is searched."""
    filler = "\n" + "hay " * 20
    bodies = [
        "needle" + filler * 55 + "\nneedle needle\nneedless needle_" + "x" * 4_000 + "\nneedle",
        "x" * 4_200 + "needles\n" + "needle\n" * 3,
        "no needles\n" * 9 + "\n\nneedle\nhay",
        "a_needle, needle or éneedle\n" * 20,
        "hay\nneedle",
    ]
    upserts = [upsert(f"d{at}", body, title=title, offset=at) for at, body in enumerate(bodies * 3)]
    _write(generation, list(upserts))
    hits = {hit.id: hit.score for hit in _ask(searcher, query).hits}
    assert len(hits) == len(upserts)
    for change in upserts:
        text = searchable_text(change.document).encode()
        matching = [start for start, line in lines_of(text) if b"needle" in line]
        words = {
            start for start, line in lines_of(text) if re.search(rb"(?<![\w\x80-\xff])needle(?![\w\x80-\xff])", line)
        }
        first, count, whole = tally(matching, words, window=COUNTED_BYTES, limit=COUNTED_LINES)
        numbers = (np.array([each]) for each in (count, whole, len(text), first < len(title)))
        assert hits[change.document.id] == scores(*numbers)[0], change.document.id


def test_the_best_may_need_re2(generation: Generation, searcher: NativeSearcher) -> None:
    """Where kernels have rated many documents, those that RE2 must search are still rated, if they can win."""
    bodies = ["kite\n" * (at % 12 + 1) + "\u212aite\n" * (at % 3) + "hay " * at for at in range(200)]
    names = [("kite" if at % 7 == 0 else "d") + f"{at:03}" for at in range(len(bodies))]
    _write(
        generation, [upsert(name, body, offset=at) for at, (name, body) in enumerate(zip(names, bodies, strict=True))]
    )
    everything = _ask(searcher, "kite")
    scores_by_re2 = [(hit.id, hit.score) for hit in _ask(searcher, "/kite/is").hits]
    assert [(hit.id, hit.score) for hit in everything.hits] == scores_by_re2
    for limit in (1, 3, 10, 100):
        assert searcher.search(Query("kite", limit, Deadline.after(SOON))).hits == everything.hits[:limit]


def test_a_path_may_bring_a_document_among_the_best(generation: Generation, searcher: NativeSearcher) -> None:
    """One whose text, which RE2 must search, could not do so whatever is in it."""
    dense = [upsert(f"d{at:02}", "kite\n" * 16, offset=at) for at in range(20)]
    long = upsert("kite", "\u212aite\n" + "kite\n" * 16 + "hay " * 3_000, offset=20)
    _write(generation, [*dense, long])
    [best] = searcher.search(Query("kite", 1, Deadline.after(SOON))).hits
    assert best.id == "kite"


@pytest.mark.parametrize("query", ["/x*/", "/$/", "/^/s"])
def test_empty_matches_count_lines(generation: Generation, searcher: NativeSearcher, query: str) -> None:
    """What matches nothing at all, on each line, counts each line once."""
    _write(generation, [upsert("d", "a\nx xx\n\nb x", offset=0)])
    [hit] = _ask(searcher, query).hits
    count, length = np.array([4]), np.array([11])
    rated = {scores(count, np.array([words]), length, np.array([False]))[0] + PATH for words in range(5)}
    assert hit.score in rated


_MEBIBYTE = 1 << 20


@pytest.mark.parametrize("line", ["ab" * 40 + "\n", "ab" * (_MEBIBYTE // 2)])
@pytest.mark.parametrize(
    "query",
    [
        "/(a+)+$x/",
        "/(x+x+)+y|[ab]*a[ab]{500}c/",
        "/.{0,800}a.{100}z/",
        "/(.{0,40}a){20}x/",
        "/(.{0,40}a){20}x/s",
        "/(a|b)*a(a|b){200}c/is",
        "/[ab]*a[ab]{900}\\C/",
        "/" + "|".join(f"(?:[ab]*{number}){{9}}" for number in range(60)) + "/",
    ],
)
def test_hostile_patterns_keep_the_deadline(
    generation: Generation, searcher: NativeSearcher, query: str, line: str
) -> None:
    """In texts of a megabyte, a pattern that is as slow as RE2 gets ends in time and claims no more than it found."""
    text = line * (_MEBIBYTE // len(line))
    _write(generation, [upsert(f"d{number}", text, offset=number) for number in range(3)])
    compile_pattern(query)
    began = monotonic()
    try:
        answer = _ask(searcher, query, Deadline.after(0.4))
    except DeadlineExceeded:
        answer = None
    assert monotonic() - began < 1.5
    if answer is not None and answer.total_relation == "eq":
        assert answer.total == _ask(searcher, query).total


@pytest.mark.parametrize(
    "query", ["/" + "|".join(map(str, range(10_000))) + "/", "/(a{900}){900}/", "/((a{99}){99}){99}/", "/a\ud800/"]
)
def test_patterns_that_are_refused(searcher: NativeSearcher, query: str) -> None:
    """What would take too much to compile is the client's to change."""
    with pytest.raises(InvalidQuery):
        _ask(searcher, query)


@pytest.mark.parametrize("regex", ["ab+$", "^b.*k", r"\bneedle\b", "needle?$|^x+k", "[^a]K"])
@pytest.mark.parametrize("flags", ["", "i"])
def test_answers_of_automata_are_those_of_re2(
    generation: Generation, searcher: NativeSearcher, regex: str, flags: str
) -> None:
    """Enough documents for an automaton: the same hits and scores, in titles too, as when RE2 has to read them."""
    words = ["ab", "b needle k", "xxk", "Needle", "a\u212a", "bk é", "needles", "no", "漢K", "\nabb"]
    pairs = [(title, f"{before}\n{after}") for title in ["", *words] for before in words for after in words[:3]]
    changes = [upsert(f"d{at}", body, title=title, offset=at) for at, (title, body) in enumerate(pairs)]
    _write(generation, changes)
    by_automaton, by_re2 = _ask(searcher, f"/{regex}/{flags}"), _ask(searcher, f"/(?s:)(?:{regex})/{flags}")
    assert compile_pattern(f"/{regex}/{flags}").lines is not None
    assert compile_pattern(f"/(?s:)(?:{regex})/{flags}").lines is None
    assert by_automaton.total == by_re2.total > 0
    assert [(hit.id, hit.score) for hit in by_automaton.hits] == [(hit.id, hit.score) for hit in by_re2.hits]
