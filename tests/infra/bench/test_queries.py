"""What is searched for: drawn by chance, and the same for everybody."""

import shutil
from pathlib import Path

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from indexer.analysis import get_analyzer
from indexer.native import compile_pattern
from infra.bench.errors import BenchFailed
from infra.bench.patterns import FIXED, BenchPattern, bench_patterns, escape
from infra.bench.ripgrep import Ripgrep, rust_regex
from infra.bench.words import LONGEST_QUERY, word_queries
from tests.infra.bench.folders import texts

SEEDS = st.integers(0, 2**32)

needs_ripgrep = pytest.mark.skipif(shutil.which("rg") is None, reason="ripgrep is not installed")


@given(SEEDS)
def test_word_queries_depend_on_texts_and_seed_only(seed: int) -> None:
    """Two runs search for the same, or their figures could not be compared."""
    first, second = (word_queries(texts(), get_analyzer("english"), 30, seed=seed) for _ in range(2))
    assert first == second


def test_word_queries_are_distinct_of_every_length_and_never_empty_to_the_engine() -> None:
    """Short and long queries, none of stop words only, none twice."""
    analyzer = get_analyzer("english")
    queries = word_queries(texts(), analyzer, 100, seed=1)
    assert len(set(queries)) == len(queries) == 100
    assert {len(query.split()) for query in queries} == set(range(1, LONGEST_QUERY + 1))
    assert all(analyzer.terms(word) for query in queries for word in query.split())


def test_word_queries_mix_rare_and_common_words() -> None:
    """A word of every document and words of one document are drawn about equally often."""
    documents = [f"everywhere only{number} seldom{number // 5}" for number in range(100)]
    queries = word_queries(documents, get_analyzer("plain"), 100, seed=1)
    for kind in ("everywhere", "only", "seldom"):
        assert sum(kind in query for query in queries) >= 20


@given(SEEDS)
def test_patterns_depend_on_texts_and_seed_only(seed: int) -> None:
    """Two runs search for the same, or their figures could not be compared."""
    assert bench_patterns(texts(), 40, seed=seed) == bench_patterns(texts(), 40, seed=seed)


@given(SEEDS)
def test_every_pattern_is_a_query_that_native_takes_as_meant(seed: int) -> None:
    """A regex is read as one, a literal as one."""
    for pattern in bench_patterns(texts(), 60, seed=seed):
        compile_pattern(pattern.query)
        assert pattern.query.startswith("/") == pattern.regex


def test_patterns_have_every_kind() -> None:
    """Literals and regexes, anchored at both ends and not, and the fixed ones."""
    patterns = bench_patterns(texts(), 100, seed=1)
    drawn = [pattern for pattern in patterns if pattern not in FIXED]
    assert len(patterns) == len(drawn) + len(FIXED) == 100
    assert any(not pattern.regex for pattern in drawn)
    assert any(pattern.regex and pattern.text.startswith("^") for pattern in drawn)
    assert any(pattern.regex and pattern.text.endswith("$") for pattern in drawn)
    assert any(pattern.ignore_case for pattern in drawn)


@pytest.mark.parametrize("documents", [[""], ["a b c", "1 2 3"]])
def test_texts_without_words_are_refused(documents: list[str]) -> None:
    """There is nothing to search for."""
    with pytest.raises(BenchFailed):
        word_queries(documents, get_analyzer("plain"), 5, seed=1) or bench_patterns(documents, 5, seed=1)
    with pytest.raises(BenchFailed):
        bench_patterns(documents, 5, seed=1)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), min_size=1))
def test_an_escaped_text_matches_itself(text: str) -> None:
    """Whatever characters a line holds, the regex that is made of it means them."""
    assert re2.fullmatch(escape(text), text)


@needs_ripgrep
@pytest.mark.parametrize(("literal", "found"), [("inode.x", True), ("INODE.x", True), ("Inode.x", False), ("x", True)])
def test_a_literal_has_smart_case_to_ripgrep(literal: str, found: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a case
    """Lower case finds any case, an upper-case letter only itself, and no character is an operator."""
    (tmp_path / "file").write_text("INODE.x\n")
    assert bool(Ripgrep(str(shutil.which("rg")), tmp_path).matching(BenchPattern(literal))) == found


@needs_ripgrep
@pytest.mark.parametrize("regex", [r"x\wy", r"x\dy", r"x\sy", r"\bxy\b", r"x\\dy", r"x\.y", r"x.y"])
@pytest.mark.parametrize("text", ["xay", "x1y", "x\u0661y", "xäy", "x\u00a0y", "x y", "äxyä", "axya", r"x\dy", "x.y"])
def test_a_regex_means_the_same_to_ripgrep_as_to_re2(regex: str, text: str, tmp_path: Path) -> None:
    """Classes of letters and boundaries know ASCII only, and what is no class is left as it is."""
    (tmp_path / "file").write_text(text + "\n")
    found = Ripgrep(str(shutil.which("rg")), tmp_path).matching(BenchPattern(regex, regex=True))
    assert bool(found) == bool(re2.search(regex, text)), rust_regex(regex)
