import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.errors import InvalidQuery
from indexer.tantivy.syntax import (
    MAX_CHARACTERS,
    MAX_CLAUSES,
    MAX_DEPTH,
    MAX_WORDS,
    Clause,
    Everything,
    Group,
    Phrase,
    QuerySyntaxError,
    Word,
    parse,
    understand,
)


def should(*nodes: Word | Phrase | Everything | Group) -> Group:
    """A group of which any part may match."""
    return Group(tuple(Clause("should", node) for node in nodes))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("circuit breaker", should(Word("circuit"), Word("breaker"))),
        ('"circuit breaker"', should(Phrase("circuit breaker"))),
        ('"circuit breaker"~2', should(Phrase("circuit breaker", slop=2))),
        ("title:breaker", should(Word("breaker", field="title"))),
        ('title:"a b"', should(Phrase("a b", field="title"))),
        ("title:(a b)", should(should(Word("a", field="title"), Word("b", field="title")))),
        ("fuzy~", should(Word("fuzy", distance=1))),
        ("fuzy~1", should(Word("fuzy", distance=1))),
        ("fuzy~2", should(Word("fuzy", distance=2))),
        ("pre*", should(Word("pre", prefix=True))),
        ("*", should(Everything())),
        ("+a -b", Group((Clause("must", Word("a")), Clause("must_not", Word("b"))))),
        ("NOT a", Group((Clause("must_not", Word("a")),))),
        ("a OR b", should(Word("a"), Word("b"))),
        (r"\+a \"b pre\*", should(Word("+a"), Word('"b'), Word("pre*"))),
        ("c++ e-mail http://x 12:30 a::b", should(*map(Word, ["c++", "e-mail", "http://x", "12:30", "a::b"]))),
    ],
)
def test_grammar(text: str, tree: Group) -> None:
    """Each form of the language gives the tree that stands for it."""
    assert parse(text) == tree


def test_and_binds_closer_than_or() -> None:
    """`a OR b AND NOT c` is `a OR (b AND NOT c)`."""
    both = Group((Clause("must", Word("b")), Clause("must_not", Word("c"))))
    assert parse("a OR b AND NOT c") == should(Word("a"), both)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("(a b", "a parenthesis is not closed"),
        ("a b)", "a parenthesis is not opened"),
        ('"a b', "a quotation mark is not closed"),
        ("a AND", "the query ends where a word is expected"),
        ("OR a", "a word is expected before OR"),
        ("colour:red", "there is no field colour"),
        ("a~3", "a fuzzy word may have at most 2 errors"),
        ("()", "a word is expected before )"),
    ],
)
def test_a_syntax_error_falls_back_to_words_and_says_so(text: str, complaint: str) -> None:
    """What breaks the grammar is searched as plain words, with the reason in the detail."""
    understood = understand(text)
    assert complaint in understood.detail
    assert isinstance(understood.node, Group)
    assert all(isinstance(clause.node, Word) and clause.occur == "should" for clause in understood.node.clauses)


def test_a_fallback_searches_no_operators() -> None:
    """AND, OR and NOT are not looked for as words when a query falls back to words."""
    assert understand("(fast AND furious").node == should(Word("fast"), Word("furious"))


def test_plain_words_are_searched_once_each() -> None:
    """A repeated word counts once, and nothing is said about it."""
    assert understand("to be or not to be").node == should(*map(Word, ["to", "be", "or", "not"]))
    assert understand("to be or not to be").detail == ""


def test_too_many_plain_words_are_cut_and_the_answer_says_so() -> None:
    """A pasted page is searched by its first words."""
    understood = understand(" ".join(f"w{n}" for n in range(MAX_WORDS + 1)))
    assert isinstance(understood.node, Group)
    assert len(understood.node.clauses) == MAX_WORDS
    assert understood.detail == f"only the first {MAX_WORDS} of {MAX_WORDS + 1} words were used"


@pytest.mark.parametrize(
    ("bomb", "complaint"),
    [
        ("(" * 100_000, "at most 4096 characters"),
        (" OR ".join(["a"] * 50_000), "at most 4096 characters"),
        ("x" * (MAX_CHARACTERS + 1), "at most 4096 characters"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), "nested at most 16 deep"),
        ("(" * MAX_CHARACTERS, "nested at most 16 deep"),
        (" ".join(["+a"] * (MAX_CLAUSES + 1)), "at most 64 clauses, got 65"),
        ("(a* OR b~2)" * 300, "at most 64 clauses, got 600"),
    ],
)
def test_a_bomb_is_refused(bomb: str, complaint: str) -> None:
    """Length, depth and number of clauses are bounded before anything is built from them."""
    with pytest.raises(InvalidQuery, match=complaint):
        understand(bomb)


def test_the_deepest_query_allowed_is_understood() -> None:
    """The limit itself is within the limit."""
    assert understand("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH).detail == ""


@given(st.text(alphabet=st.sampled_from('ab "()+-:*~\\ANDORT\0\ud800titlé1'), max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    """No text makes the parser fail in any other way, and what it gives holds no NUL and no lone surrogate."""
    try:
        understood = understand(text)
    except InvalidQuery:
        return
    assert "\0" not in repr(understood)
    assert "\\ud800" not in repr(understood)


def test_parse_alone_reports_syntax_errors() -> None:
    """The grammar itself does not fall back."""
    with pytest.raises(QuerySyntaxError):
        parse("(a")


@given(st.text(alphabet=st.sampled_from("ab ANDORT\0\t\x1c\u20031é_"), max_size=40))
@example("AND")
@example("a AND b")
@example("a\x1cOR\u2003b")
@example("\0")
def test_words_alone_are_read_as_the_grammar_reads_them(text: str) -> None:
    """They are not taken apart by it, so what it says of operators must be said all the same."""
    try:
        understood = parse(text.replace("\0", " "))
    except QuerySyntaxError:
        assert understand(text).detail.startswith("read as plain words")
        return
    assert understand(text).detail == ""
    words = dict.fromkeys(re.findall(r"\w+", text))
    if words.keys().isdisjoint({"AND", "OR", "NOT"}):
        assert understand(text).node == should(*map(Word, words))
    else:
        assert understand(text).node in {understood, should(*map(Word, words))}
