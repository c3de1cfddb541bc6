r"""A pattern as a table that is walked through text a byte at a time.

The table is that of a deterministic automaton whose states are sets of places in the pattern (M. O. Rabin, D. Scott,
Finite automata and their decision problems, 1959). Whether `^`, `$` or `\b` holds depends on the next byte, so a state
keeps them open until then, and what the byte before it was (as in
https://swtch.com/~rsc/regexp/regexp3.html#caveats). Patterns whose tables would be large are left to RE2.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from indexer.compiled import int64, readable, record, uint8, uint32
from indexer.native.octets import WORD, Assertion, Choice, Node, Octet, Repeat, Sequence, parse_octets
from indexer.native.syntax import NotUnderstood

_MAX_PLACES: Final = 512
_MAX_ENTRIES: Final = 8_192
"""Of a table: each takes microseconds to work out."""

Table = TypeVar("Table", bound=npt.NDArray[Any])

_BYTES: Final = 256
_NEWLINE: Final = 1 << 0x0A
_ALWAYS: Final = ""
_AFTER_NEWLINE, _AFTER_WORD, _AFTER_OTHER = range(3)


class Automaton(NamedTuple):
    """As the kernels take it: from row `r`, a byte leads to row `table[r + classes[byte]]`; a line begins in row 0.

    Attributes:
        table: the rows, one after another, each the next row for each class of bytes, uint32.
        classes: of each byte, shape (256,), uint8; to the pattern, the bytes of a class are the same.
        matched: the row behind a match.
    """

    table: npt.NDArray[np.uint32]
    classes: npt.NDArray[np.uint8]
    matched: int


AUTOMATON: Final = record(Automaton, readable(uint32), readable(uint8), int64)
"""The type of it, for the kernels that take it."""


def compile_automaton(pattern: str, *, ignoring_case: bool) -> Automaton | None:
    """The automaton of a regex that RE2 accepts, and whose matches stay within their lines.

    Returns:
        what finds the lines with a match, in valid UTF-8; None when RE2 has to, since the regex is not understood,
        matches the empty string, or would need too large a table.
    """
    try:
        places = _Places(parse_octets(pattern, ignoring_case=ignoring_case))
        return _Construction(places).automaton()
    except NotUnderstood:
        return None


class _Places:
    """What a pattern is made of: bytes and assertions, each a bit in the sets of places.

    Attributes:
        accepts: the bytes that each place takes, as a mask; 0 for assertions.
        after: the places that follow each.
        assertions: places of each kind.
        start: the places that a match begins with.
        end: the place behind a match.
    """

    def __init__(self, node: Node) -> None:
        self.accepts: list[int] = []
        self.after: list[int] = []
        self.assertions: dict[str, int] = {}
        self.end = self._add(0, 0)
        self.start = self._entry(node, self.end)
        if self.closure(self.start, self.assertions) & self.end:
            raise NotUnderstood
        self.after = [self.closure(each, (_ALWAYS,)) for each in self.after]
        self.start = self.closure(self.start, (_ALWAYS,))

    def closure(self, places: int, holding: Iterable[str]) -> int:
        """With what comes behind assertions of these kinds."""
        passed = sum(self.assertions.get(kind, 0) for kind in holding)
        reached, fresh = places, places & passed
        while fresh:
            found = self.union_after(fresh)
            fresh = found & ~reached & passed
            reached |= found
        return reached

    def union_after(self, places: int) -> int:
        """All that follows these places."""
        union = 0
        while places:
            lowest = places & -places
            union |= self.after[lowest.bit_length() - 1]
            places ^= lowest
        return union

    def _add(self, accepts: int, after: int, kind: str | None = None) -> int:
        if len(self.accepts) == _MAX_PLACES:
            raise NotUnderstood
        place = 1 << len(self.accepts)
        self.accepts.append(accepts)
        self.after.append(after)
        if kind is not None:
            self.assertions[kind] = self.assertions.get(kind, 0) | place
        return place

    def _entry(self, node: Node, following: int) -> int:
        """Add a node that these places follow; the places that it begins with."""
        match node:
            case Octet(mask):
                return self._add(mask, following)
            case Assertion(kind):
                return self._add(0, following, kind)
            case Sequence(parts):
                for part in reversed(parts):
                    following = self._entry(part, following)
                return following
            case Choice(parts):
                entries = 0
                for part in parts:
                    entries |= self._entry(part, following)
                return entries
            case Repeat(part, least, most):
                return self._repeated(part, least, most, following)

    def _repeated(self, part: Node, least: int, most: int | None, following: int) -> int:
        entry = following
        if most is None:
            again = self._add(0, 0, _ALWAYS)
            entry = self._entry(part, again) | following
            self.after[again.bit_length() - 1] = entry
        for _ in range(0 if most is None else most - least):
            entry = self._entry(part, entry) | following
        for _ in range(least):
            entry = self._entry(part, entry)
        return entry


class _Construction:
    """The states that can be reached from the beginning of a line, and where each byte leads from them."""

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._looking_back = sum(places.assertions.get(kind, 0) for kind in "^bB")
        self._classes = _byte_classes({*places.accepts, WORD, _NEWLINE})
        self._accepting = [
            sum(1 << place for place, accepts in enumerate(places.accepts) if accepts & each) for each in self._classes
        ]
        self._states: list[tuple[int, int]] = []
        self._rows: dict[tuple[int, int], int] = {}

    def automaton(self) -> Automaton:
        """Work out the rows; those that are found on the way come to the end of the list."""
        self._row(self._places.start, _AFTER_NEWLINE)
        matched = self._row(self._places.end, _AFTER_OTHER)
        table: list[int] = []
        for places, before in self._states:
            if places == self._places.end:
                table += [matched] * len(self._classes)
            else:
                table += [self._next_row(places, before, column) for column in range(len(self._classes))]
        return Automaton(_frozen(np.array(table, np.uint32)), _frozen(_class_of_each(self._classes)), matched)

    def _next_row(self, places: int, before: int, column: int) -> int:
        octets = self._classes[column]
        resolved = self._places.closure(places, _holding(before, octets))
        if resolved & self._places.end:
            return self._row(self._places.end, _AFTER_OTHER)
        if octets == _NEWLINE:
            return self._row(self._places.start, _AFTER_NEWLINE)
        reached = self._places.union_after(resolved & self._accepting[column]) | self._places.start
        if reached & self._places.end:
            return self._row(self._places.end, _AFTER_OTHER)
        return self._row(reached, _AFTER_WORD if octets & WORD else _AFTER_OTHER)

    def _row(self, places: int, before: int) -> int:
        state = (places, before if places & self._looking_back else _AFTER_OTHER)
        if state not in self._rows:
            if len(self._states) * len(self._classes) >= _MAX_ENTRIES:
                raise NotUnderstood
            self._rows[state] = len(self._states) * len(self._classes)
            self._states.append(state)
        return self._rows[state]


def _holding(before: int, octets: int) -> Iterator[str]:
    """The kinds of assertions that hold between two bytes."""
    yield _ALWAYS
    if before == _AFTER_NEWLINE:
        yield "^"
    if octets == _NEWLINE:
        yield "$"
    yield "b" if (before == _AFTER_WORD) != bool(octets & WORD) else "B"


def _byte_classes(masks: set[int]) -> list[int]:
    """The parts into which these masks divide all bytes, as masks."""
    parts = [(1 << _BYTES) - 1]
    for mask in masks:
        parts = [piece for part in parts for piece in (part & mask, part & ~mask) if piece]
    return parts


def _class_of_each(classes: list[int]) -> npt.NDArray[np.uint8]:
    return np.array(
        [next(at for at, each in enumerate(classes) if each >> byte & 1) for byte in range(_BYTES)], np.uint8
    )


def _frozen(array: Table) -> Table:
    array.setflags(write=False)  # kernels tell arrays by whether they may be written to
    return array
