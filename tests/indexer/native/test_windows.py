"""RE2 in windows finds what it finds in the whole text, and stops in between."""

from itertools import count

import pytest
import re2
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded
from indexer.native.budget import SECONDS_PER_STEP, TimeBudget
from indexer.native.windows import WindowedRegex
from tests.indexer.native.regexes import AGREED_REGEXES, TEXTS

_MANY_INSTRUCTIONS = 1 << 20
"""So that windows are as small as they get."""

_LONG_TEXTS = st.lists(st.one_of(TEXTS, TEXTS.map(lambda text: text * 40)), max_size=60).map("\n".join)


def _compiled(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.never_nl = True
    options.log_errors = False
    try:
        return re2.compile(f"(?m){pattern}", options)
    except re2.error:
        reject()


def _unhurried() -> TimeBudget:
    return TimeBudget(Deadline(1e9, clock=lambda: 0.0))


@given(pattern=AGREED_REGEXES | st.sampled_from(["\\Aa", "b\\z", "\\ba", "k\\b", "^", "$"]), text=_LONG_TEXTS)
@settings(max_examples=300, deadline=None)
def test_windows_lose_and_add_nothing(pattern: str, text: str) -> None:
    """The matches, empty ones too, are those of one pass over the text."""
    regex, data = _compiled(pattern), text.encode()
    windowed = WindowedRegex(regex, _MANY_INSTRUCTIONS, crosses_lines=False)
    once = dict.fromkeys(match.span() for match in regex.finditer(data))
    assert list(windowed.spans(memoryview(data), 0, _unhurried())) == list(once)


@given(pattern=AGREED_REGEXES, texts=st.lists(_LONG_TEXTS.map(lambda text: f"{text}\n".encode()), min_size=1))
@settings(max_examples=200, deadline=None)
def test_groups_of_lines(pattern: str, texts: list[bytes]) -> None:
    """The groups that match are those in which RE2 finds a match that is not empty."""
    regex = _compiled(f"{pattern}a")
    starts = [sum(map(len, texts[:place])) for place in range(len(texts) + 1)]
    windowed = WindowedRegex(regex, _MANY_INSTRUCTIONS, crosses_lines=False)
    found = list(windowed.matching_groups(memoryview(b"".join(texts)), starts, _unhurried()))
    assert found == [place for place, text in enumerate(texts) if regex.search(text)]


def test_stops_between_windows() -> None:
    """In a large text the time is looked at again and again."""
    windowed = WindowedRegex(_compiled("xyz"), _MANY_INSTRUCTIONS, crosses_lines=False)
    ticks = count()
    budget = TimeBudget(Deadline(1e6, clock=lambda: 10_000.0 * next(ticks)))
    with pytest.raises(DeadlineExceeded):
        list(windowed.spans(memoryview(b"some line\n" * 100_000), 0, budget))
    assert 5 < next(ticks) < 100


def test_a_call_that_could_take_too_long_is_not_made() -> None:
    """One line cannot be cut, so its cost at worst is held against the time."""
    seconds = 1.0
    longest = int(0.8 * seconds / SECONDS_PER_STEP / 1_000)
    windowed = WindowedRegex(_compiled("xyz"), 1_000, crosses_lines=False)
    budget = TimeBudget(Deadline(seconds, clock=lambda: 0.0))
    assert list(windowed.spans(memoryview(b"." * (longest - 1)), 0, budget)) == []
    with pytest.raises(DeadlineExceeded):
        list(windowed.spans(memoryview(b"." * (longest + 1)), 0, budget))
