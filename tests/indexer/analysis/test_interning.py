"""Numbers of terms stand for exactly the terms that the analyzer gives."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.analysis import ANALYZERS, Analyzer, get_analyzer
from indexer.analysis.interning import TermInterner
from indexer.analysis.run_table import RunTable
from indexer.compiled import WORD
from tests.indexer.analysis.texts import MIXED

RUNS = st.lists(st.text(alphabet="abAB01_", min_size=1, max_size=40).map(str.encode), min_size=1, max_size=12)
IDENTIFIERS = st.text(alphabet="aefsxzAFSXZ019_ ", max_size=60)
LONG_RUNS = st.builds(lambda run, times, end: run * times + end, MIXED, st.integers(1, 400), IDENTIFIERS)


def spelt_out(analyzer: Analyzer, texts: Sequence[str]) -> list[list[str]]:
    """The terms that the texts' runs stand for."""
    interner = TermInterner(analyzer)
    runs = [interner.runs(text) for text in texts]
    terms, numbers, starts = interner.vocabulary()
    given = [[terms[number] for number in numbers[begin:end]] for begin, end in pairwise(starts.tolist())]
    return [[term for run in each.tolist() for term in given[run] if term] for each in runs]


@pytest.mark.parametrize("name", ANALYZERS)
@given(texts=st.lists(st.one_of(MIXED, IDENTIFIERS, LONG_RUNS), max_size=6))
@example(texts=["0xC0FFEEs a0x1 _0X1f_ 0xg URLs URLsa HTTPServer getHTTPResponse_code2 __init__ ___", "s_s"])
@example(texts=["the the", "", "foo\u2014bar foo\ud800bar", "東京 foo 東京bar", "a" * 257, "日" * 300])
def test_numbers_stand_for_the_terms(name: str, texts: list[str]) -> None:
    """Whatever came before, a text's numbers spell what the analyzer gives it, of any script and length."""
    analyzer = get_analyzer(name)
    assert spelt_out(analyzer, texts) == [analyzer.terms(text) for text in texts]


@given(texts=st.lists(st.one_of(MIXED, IDENTIFIERS), max_size=6))
def test_ascii_words_give_one_number_each(texts: list[str]) -> None:
    """However many runs hold a word, its term is made once; and no term is there that no run gives."""
    made: list[str] = []

    def noting(words: Sequence[str]) -> Sequence[str]:
        made.extend(words)
        return words

    interner = TermInterner(Analyzer("noting", str, noting))
    for text in texts:
        interner.runs(text)
    terms, numbers, _ = interner.vocabulary()
    assert len(set(made)) == len(made)
    assert sorted(set(numbers.tolist())) == list(range(len(terms)))


@pytest.mark.parametrize("analyzer", [get_analyzer(name) for name in ANALYZERS], ids=ANALYZERS)
def test_the_table_grows(analyzer: Analyzer) -> None:
    """More runs and bytes than there was room for at first keep their numbers, within a text and from text to text."""
    words = [f"{chr(ord('a') + number % 26) * (number % 40)}w{number}" for number in range(40_000)]
    texts = [" ".join(words[begin:end]) for begin, end in pairwise([0, 100, 30_000, 40_000])]
    assert spelt_out(analyzer, [*texts, *texts]) == [analyzer.terms(text) for text in [*texts, *texts]]


def test_runs_are_told_apart_by_their_bytes() -> None:
    """A run has a number of its own even where another one begins like it or goes on."""
    table = RunTable()
    assert table.numbers(b"ab a abc ab,b;a\xc3\xa9 a\xc3\xa9b abc").tolist() == [0, 1, 2, 0, 3, 4, 5, 2]
    assert table.data[: table.starts[-1]].tobytes() == b"abaabcba\xc3\xa9a\xc3\xa9b"


SEED = 7


def mixed(hashed: int, word: int) -> int:
    """The hash of one word more, as the table makes it."""
    multiplier, whole = 0x9E37_79B9_7F4A_7C15, (1 << 64) - 1
    product = (hashed ^ word) * multiplier & whole
    return (product ^ product >> 32) * multiplier & whole


def is_run(run: bytes) -> bool:
    """Whether bytes are one run."""
    return all(byte >= 0x80 or chr(byte).isalnum() or chr(byte) == "_" for byte in run)


def test_runs_of_one_hash_are_told_apart() -> None:
    """By their bytes, and by their length where one begins as the other is."""
    chance = random.Random(SEED)
    words = [int.from_bytes(bytes(chance.choices(b"abcdefgh", k=8)), "little") for _ in range(300)]
    runs: list[bytes] = []
    for first in words:
        # Behind the first word, each of these leads to the hash of the word `words[0]` alone, or of the first alone.
        for target in (words[0], first):
            run = b"".join(word.to_bytes(8, "little") for word in (first, mixed(SEED, first) ^ SEED ^ target))
            if is_run(run):
                runs += [target.to_bytes(8, "little"), run, run + b"end"]
    distinct = list(dict.fromkeys(runs))
    assert len(distinct) > 100
    for order in (distinct, distinct[::-1]):
        assert RunTable(SEED).numbers(b" ".join(order * 2)).tolist() == [*range(len(order))] * 2


def test_runs_keep_their_numbers_as_the_table_grows() -> None:
    """What was seen before the table had to grow is known behind it, in spite of all that came between."""
    table = RunTable()
    runs = [f"run{number:020d}".encode() for number in range(50_000)]
    for begin, end in pairwise([0, 10, 20_000, 50_000]):
        assert table.numbers(b" ".join(runs[begin:end])).tolist() == list(range(begin, end))
    assert table.numbers(b" ".join(runs)).tolist() == list(range(50_000))
    assert table.data[: table.starts[-1]].tobytes() == b"".join(runs)


@given(runs=RUNS, between=st.lists(st.sampled_from([b" ", b"; ", b"\n\n"]), min_size=12, max_size=12))
@example(runs=[b"abcdefgh", b"abcdefghi", b"abcdefghj", b"abcdefg", b"abcdefgh"], between=[b" "] * 12)
@example(runs=[b"a" * 16, b"a" * 17, b"a" * 15 + b"b", b"b" + b"a" * 15, b"a" * 16], between=[b""] + [b" "] * 11)
def test_runs_of_any_length_are_found_wherever_they_begin(runs: list[bytes], between: list[bytes]) -> None:
    """At both ends of a text too, and whether or not they fill the words by which they are compared."""
    distinct = list(dict.fromkeys(runs))
    text = between[0] + b"".join(run + gap for run, gap in zip(runs[:-1], between[1:], strict=False)) + runs[-1]
    table = RunTable()
    for _ in range(2):
        assert table.numbers(text).tolist() == [distinct.index(run) for run in runs]
    assert table.data[: table.starts[-1]].tobytes() == b"".join(distinct)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072])
def test_a_word_can_be_read_behind_the_last_run(size: int) -> None:
    """The bytes of runs are read by words, so there is room for one more, whatever the text fills."""
    table = RunTable()
    table.numbers(b"a" * size)
    assert len(table.data) >= size + WORD
