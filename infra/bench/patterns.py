r"""Patterns for the comparison with ripgrep: drawn from the texts by shape, and a fixed list that suits source code.

Every pattern holds three literal characters in a row somewhere, as what people look for does; one that does not is a
scan by design, bounded by its deadline.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import msgspec

from infra.bench.errors import BenchFailed


class BenchPattern(msgspec.Struct, frozen=True):
    """One pattern.

    Attributes:
        text: the literal or the regex, without slashes.
        regex: whether it is a regex.
        ignore_case: of a regex; a literal has smart case.
    """

    text: str
    regex: bool = False
    ignore_case: bool = False

    @property
    def query(self) -> str:
        """The pattern as a query to the native method."""
        return f"/{self.text}/{'i' * self.ignore_case}" if self.regex else self.text


FIXED: Final = tuple(
    BenchPattern(text, regex=True)
    for text in (
        r"TODO|FIXME|XXX",
        r"^#include <linux/[a-z_]+\.h>$",
        r"^\s*return -E[A-Z]+;$",
        r"^(static|extern) int [a-z_]+\(",
        r"^import [a-z_.]+$",
        r"^\s+def [a-z_]+\(self",
        r"https?://[a-z.]+/",
        r"\bGPL-2\.0\b",
        r"Copyright \(C\) (19|20)\d\d",
        r'"[^"]*failed[^"]*"',
        r"(alloc|free)_(page|pages)\b",
        r"sizeof\(struct [a-z_]+\)",
    )
)

_IDENTIFIER: Final = re.compile(r"\b[A-Za-z_]\w{3,39}\b", re.ASCII)
_META: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")
_LONGEST_LINE: Final = 200
_SHORTEST: Final = 4
_ATTEMPTS: Final = 50


def bench_patterns(texts: Sequence[str], count: int, *, seed: int) -> list[BenchPattern]:
    """Draw patterns, the same ones for the same texts and seed.

    Args:
        texts: documents to draw from.
        count: how many distinct patterns; fewer where the texts do not hold as many.
        seed: of the choice.

    Raises:
        BenchFailed: the texts hold no identifiers.
    """
    drawer = _Drawer(texts, Random(seed))  # noqa: S311 - a repeatable choice, no secret
    drawn = dict.fromkeys(FIXED[:count])
    for attempt in range(_ATTEMPTS * count):
        if len(drawn) >= count:
            break
        pattern = drawer.draw(attempt)
        if pattern is not None:
            drawn.setdefault(pattern)
    return list(drawn)


def escape(text: str) -> str:
    """A regex that matches the text, in the syntax of RE2 and of Rust alike, which refuse what Python escapes."""
    return _META.sub(r"\\\g<0>", text)


class _Drawer:
    """Draws patterns of all shapes in turns."""

    def __init__(self, texts: Sequence[str], random: Random) -> None:
        self._random = random
        self._lines = [lines for lines in map(_lines, texts) if lines]
        if not self._lines:
            raise BenchFailed("the texts hold no identifiers to search for")
        found = Counter(name for text in texts for name in sorted(set(_IDENTIFIER.findall(text))))
        by_frequency = sorted(found, key=lambda name: (found[name], name))
        third = max(1, len(by_frequency) // 3)
        # By rank most names are rare, so common ones are taken from the top hundredth.
        self._rare, self._medium = by_frequency[:third], by_frequency[-third:]
        self._common = by_frequency[-max(1, len(by_frequency) // 100) :]
        self._shapes: tuple[Callable[[], BenchPattern | None], ...] = (
            lambda: BenchPattern(self._name(self._rare)),
            lambda: BenchPattern(self._name(self._medium)),
            lambda: BenchPattern(self._name(self._common)),
            lambda: BenchPattern(self._name(self._medium).lower()),
            self._part_of_a_name,
            self._phrase,
            self._part_of_a_line,
            lambda: _regex(rf"\b{self._name(self._medium)}\b"),
            lambda: _regex(rf"{self._name(self._medium)}\s*\("),
            lambda: _regex(self._name(self._rare).upper(), ignore_case=True),
            lambda: _regex("|".join(sorted(self._name(self._rare) for _ in range(3)))),
            self._beginning_of_a_line,
            self._end_of_a_line,
            self._two_in_a_line,
            self._family_of_names,
        )

    def draw(self, turn: int) -> BenchPattern | None:
        """A pattern of the shape whose turn it is; None when what was drawn does not suit it."""
        pattern = self._shapes[turn % len(self._shapes)]()
        return None if pattern is None or pattern.text.startswith("/") else pattern

    def _name(self, names: Sequence[str]) -> str:
        return self._random.choice(names)

    def _line(self) -> str:
        return self._random.choice(self._random.choice(self._lines))

    def _part_of_a_name(self) -> BenchPattern:
        name = self._name(self._medium)
        return BenchPattern(name[: self._random.randint(_SHORTEST, max(_SHORTEST, len(name)))])

    def _phrase(self) -> BenchPattern | None:
        places = list(_IDENTIFIER.finditer(line := self._line()))
        if len(places) < 2:  # noqa: PLR2004 - a phrase has two words
            return None
        first = self._random.randrange(len(places) - 1)
        last = min(len(places) - 1, first + self._random.randint(1, 3))
        return BenchPattern(line[places[first].start() : places[last].end()])

    def _part_of_a_line(self) -> BenchPattern:
        line = self._line().strip()
        start = self._random.randrange(max(1, len(line) - 12))
        return BenchPattern(line[start : start + self._random.randint(12, 40)].strip())

    def _beginning_of_a_line(self) -> BenchPattern:
        return _regex(f"^{escape(self._line()[:16])}")

    def _end_of_a_line(self) -> BenchPattern:
        return _regex(f"{escape(self._line()[-12:])}$")

    def _two_in_a_line(self) -> BenchPattern | None:
        names = _IDENTIFIER.findall(self._line())
        return _regex(f"{names[0]}.*{names[-1]}") if len(names) > 1 else None

    def _family_of_names(self) -> BenchPattern | None:
        first, _, rest = self._name(self._medium).partition("_")
        return _regex(rf"\b{first}_[a-z_]+\b") if rest and len(first) >= _SHORTEST - 1 else None


def _regex(text: str, *, ignore_case: bool = False) -> BenchPattern:
    return BenchPattern(text, regex=True, ignore_case=ignore_case)


def _lines(text: str) -> list[str]:
    """Lines that hold an identifier and no control character, in which two engines may see different things."""
    lines = (line for line in text.split("\n") if len(line) <= _LONGEST_LINE and line.replace("\t", " ").isprintable())
    return [line for line in lines if _IDENTIFIER.search(line)]
