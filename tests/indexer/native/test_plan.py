"""The planner never loses a match, and narrows where it can."""

import pytest
import re2
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from indexer.native.folding import fold_text
from indexer.native.plan import (
    EVERYTHING,
    AllOf,
    AllTrigrams,
    AnyOf,
    Everything,
    Plan,
    plan_literal,
    plan_regex,
    trigrams_of,
)
from tests.indexer.native.regexes import AGREED_REGEXES, ANY_REGEXES, TEXTS


def admits(plan: Plan, trigrams: frozenset[int]) -> bool:
    """Whether a text with these trigrams is a candidate."""
    match plan:
        case Everything():
            return True
        case AllTrigrams(wanted):
            return wanted <= trigrams
        case AllOf(plans):
            return all(admits(each, trigrams) for each in plans)
        case AnyOf(plans):
            return any(admits(each, trigrams) for each in plans)


def _matches(pattern: str, text: str, *, ignoring_case: bool, literal: bool = False) -> bool:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignoring_case
    options.literal = literal
    try:
        compiled = re2.compile(pattern, options)
    except re2.error:
        reject()
    return compiled.search(text) is not None


@given(pattern=AGREED_REGEXES, text=TEXTS, ignoring_case=st.booleans())
@settings(max_examples=800, deadline=None)
def test_well_formed_regex_loses_no_match(pattern: str, text: str, *, ignoring_case: bool) -> None:
    """A text that a regex matches holds the trigrams of the regex's plan."""
    if _matches(f"(?m){pattern}", text, ignoring_case=ignoring_case):
        assert admits(plan_regex(pattern), trigrams_of(fold_text(text)))


@given(pattern=ANY_REGEXES, text=st.one_of(TEXTS, st.sampled_from(["", "bcd", "abcabc", "xbcd", "abab1"])))
@settings(max_examples=1000, deadline=None)
@example(pattern="abc\\Q\\E*bcd", text="abbcd")
@example(pattern="abc(?i)*bcd", text="abbcd")
@example(pattern="\\Qab\\E*cde", text="acde")
@example(pattern="[]abc]bcd", text="]bcd")
@example(pattern="ab{,2}c", text="ab{,2}c")
@example(pattern="(?:abc){0}bcd", text="bcd")
def test_any_syntax_loses_no_match(pattern: str, text: str) -> None:
    """Whatever RE2 accepts, the planner reads as RE2 does or leaves alone."""
    if _matches(f"(?m){pattern}", text, ignoring_case=False):
        assert admits(plan_regex(pattern), trigrams_of(fold_text(text)))


@given(pattern=st.text(alphabet="abkKsſ\u212aßẞéÉ*(", min_size=1, max_size=5), text=TEXTS)
@settings(max_examples=1000, deadline=None)
def test_literal_loses_no_match(pattern: str, text: str) -> None:
    """A text that holds a literal in any case, as RE2 sees case, holds its trigrams."""
    if _matches(pattern, text + pattern.swapcase(), ignoring_case=True, literal=True):
        assert admits(plan_literal(pattern), trigrams_of(fold_text(text + pattern.swapcase())))


@given(text=st.text(alphabet="abkKsſ\u212aßẞéÉ*( ", min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_literal_is_planned_as_the_same_text_in_a_regex(text: str) -> None:
    """It names every trigram of the folded text, and not only such as no match lacks."""
    assert plan_literal(text) == plan_regex(f"\\Q{text}\\E")


def _strings(*texts: str) -> Plan:
    plans = tuple(AllTrigrams(trigrams_of(text.encode())) for text in texts)
    return plans[0] if len(plans) == 1 else AnyOf(plans)


@pytest.mark.parametrize(
    ("pattern", "plan"),
    [
        ("Breaker", _strings("breaker")),
        ("(?i)ab(c|d)e", _strings("abce", "abde")),
        ("foo.*bar", AllOf((_strings("foo"), _strings("bar")))),
        ("^def \\w+_handler$", AllOf((_strings("def "), _strings("_handler")))),
        ("colou?r", _strings("color", "colour")),
        ("(abc)+", _strings("abc")),
        ("(abc){2}", _strings("abcabc")),
        ("[Kk]elvin\\x21", _strings("kelvin!")),
        ("\\Qa.b\\E", _strings("a.b")),
        ("a.b", EVERYTHING),
        ("(abc)*", EVERYTHING),
        ("abc|d", EVERYTHING),
        ("\\d+", EVERYTHING),
    ],
)
def test_narrows(pattern: str, plan: Plan) -> None:
    """The plan of a pattern names the trigrams that one would name by hand."""
    assert plan_regex(pattern) == plan


def test_deep_nesting_is_left_to_re2() -> None:
    """A pattern nested beyond the parser's depth is not an error, only not narrowed."""
    assert plan_regex("(" * 500 + "abc" + ")" * 500) == EVERYTHING
