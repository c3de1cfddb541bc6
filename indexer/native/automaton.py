r"""A pattern as a table that is walked through text a byte at a time.

The table is that of a deterministic automaton whose states are sets of places in the pattern (M. O. Rabin, D. Scott,
Finite automata and their decision problems, 1959). Whether `^`, `$` or `\b` holds depends on the next byte, so a state
keeps them open until then, and what the byte before it was (as in
https://swtch.com/~rsc/regexp/regexp3.html#caveats). Patterns whose tables would be large are left to RE2.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from indexer.compiled import int64, readable, record, uint8, uint32
from indexer.native.octets import IN_WORD, WORD, Assertion, Choice, Node, Octet, Repeat, Sequence
from indexer.native.syntax import NotUnderstood

_MAX_PLACES: Final = 512
_MAX_ENTRIES: Final = 8_192
"""Of a table: each takes microseconds to work out."""

Table = TypeVar("Table", bound=npt.NDArray[Any])

_BYTES: Final = 256
_NEWLINE_MASK: Final = 1 << 0x0A
_ALWAYS: Final = ""
_KINDS: Final = 4
_NEWLINE, _WORD, _BEYOND, _OTHER = range(_KINDS)
"""Of bytes, as assertions tell them apart: ASCII that is part of a word, what is beyond ASCII, all else."""


class Automaton(NamedTuple):
    """As the kernels take it: from row `r`, a byte leads to row `table[r + classes[byte]]`; a line begins in row 0.

    Attributes:
        table: the rows, one after another, each the next row for each class of bytes, uint32.
        classes: of each byte, shape (256,), uint8; to the pattern, the bytes of a class are the same.
        matched: the row behind a match.
        hopeless: the row from which only a newline leads away; -1 when there is none.
    """

    table: npt.NDArray[np.uint32]
    classes: npt.NDArray[np.uint8]
    matched: int
    hopeless: int


AUTOMATON: Final = record(Automaton, readable(uint32), readable(uint8), int64, int64)
"""The type of it, for the kernels that take it."""


def compile_automaton(node: Node) -> Automaton | None:
    """The automaton of a regex whose matches stay within their lines.

    Returns:
        what finds the lines with a match, in valid UTF-8; None when RE2 has to, since the regex matches the empty
        string, or would need too large a table.
    """
    try:
        return _Construction(_Places(node)).automaton()
    except NotUnderstood:
        return None


def whole_words_of(node: Node) -> Node:
    """A regex for those matches of a regex that begin and end at word boundaries."""
    return Sequence((Assertion("<"), node, Assertion(">")))


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
        kinds = places.assertions.keys()
        self._assertions = sum(places.assertions.values())
        self._looking_back = sum(places.assertions.get(kind, 0) for kind in "^bB<")
        self._kept = _kept(kinds)
        # Where every match begins with `^`, nothing but a newline leads away from where none has begun.
        self._waits_for_line = not places.start & ~places.assertions.get("^", 0)
        self._classes = _byte_classes(
            {*places.accepts, _NEWLINE_MASK, WORD, *([IN_WORD] if kinds & {"<", ">"} else [])}
        )
        self._columns = [
            (_kind_of(each), places.end | _places_that_accept(places.accepts, each)) for each in self._classes
        ]
        self._states: list[tuple[int, int]] = []
        self._rows: dict[tuple[int, int], int] = {}
        self._leads: dict[tuple[int, int], int] = {}
        self._answers: dict[tuple[int, int, int], int] = {}

    def automaton(self) -> Automaton:
        """Work out the rows; those that are found on the way come to the end of the list."""
        self._row(self._places.start, _NEWLINE)
        matched = self._row(self._places.end, _OTHER)
        hopeless = self._row(self._places.start, _OTHER) if self._waits_for_line else -1
        table: list[int] = []
        for places, before in self._states:
            if places == self._places.end:
                table += [matched] * len(self._classes)
            else:
                table += self._next_rows(places, before)
        return Automaton(_frozen(np.array(table, np.uint32)), _frozen(_class_of_each(self._classes)), matched, hopeless)

    def _next_rows(self, places: int, before: int) -> Iterator[int]:
        """Where each class of bytes leads; most lead where those of other states do, so that is kept."""
        resolved = [self._resolved(places, before, kind) for kind in range(_KINDS)]
        for kind, accepting in self._columns:
            taken = resolved[kind] & accepting
            row = self._leads.get((kind, taken))
            if row is None:
                row = self._leads[kind, taken] = self._lead(kind, taken)
            yield row

    def _resolved(self, places: int, before: int, following: int) -> int:
        """With what comes behind the assertions that hold; few sets of these are there, so that is kept."""
        open_question = (places & self._assertions, before, following)
        answer = self._answers.get(open_question)
        if answer is None:
            holding = _holding(before, following)
            answer = self._answers[open_question] = self._places.closure(open_question[0], holding)
        return places | answer

    def _lead(self, kind: int, taken: int) -> int:
        if taken & self._places.end:
            return self._row(self._places.end, _OTHER)
        reached = self._places.union_after(taken) | self._places.start
        if reached & self._places.end:
            return self._row(self._places.end, _OTHER)
        return self._row(reached, self._kept[kind])

    def _row(self, places: int, before: int) -> int:
        waiting = self._waits_for_line and places == self._places.start and before != _NEWLINE
        state = (places, before if places & self._looking_back and not waiting else _OTHER)
        if state not in self._rows:
            if len(self._states) * len(self._classes) >= _MAX_ENTRIES:
                raise NotUnderstood
            self._rows[state] = len(self._states) * len(self._classes)
            self._states.append(state)
        return self._rows[state]


def _kind_of(octets: int) -> int:
    if octets == _NEWLINE_MASK:
        return _NEWLINE
    if octets & WORD:
        return _WORD
    return _BEYOND if octets & IN_WORD else _OTHER


def _kept(kinds: AbstractSet[str]) -> list[int]:
    """What a state keeps of the kind of the byte before it: as little as these kinds of assertions ask for."""
    sees_words, sees_beyond = not kinds.isdisjoint("bB<"), "<" in kinds
    return [_NEWLINE, _WORD if sees_words else _OTHER, _BEYOND if sees_beyond else _OTHER, _OTHER]


def _holding(before: int, following: int) -> Iterator[str]:
    """The kinds of assertions that hold between two kinds of bytes."""
    yield _ALWAYS
    if before == _NEWLINE:
        yield "^"
    if following == _NEWLINE:
        yield "$"
    if before in {_NEWLINE, _OTHER}:
        yield "<"
    if following in {_NEWLINE, _OTHER}:
        yield ">"
    yield "b" if (before == _WORD) != (following == _WORD) else "B"


def _places_that_accept(accepts: list[int], octets: int) -> int:
    return sum(1 << place for place, each in enumerate(accepts) if each & octets)


def _byte_classes(masks: set[int]) -> list[int]:
    """The parts into which these masks divide all bytes, as masks."""
    parts = [(1 << _BYTES) - 1]
    for mask in masks:
        parts = [piece for part in parts for piece in (part & mask, part & ~mask) if piece]
    return parts


def _class_of_each(classes: list[int]) -> npt.NDArray[np.uint8]:
    class_of = np.empty(_BYTES, np.uint8)
    for number, mask in enumerate(classes):
        members = np.frombuffer(mask.to_bytes(_BYTES // 8, "little"), np.uint8)
        class_of[np.unpackbits(members, bitorder="little").view(np.bool_)] = number
    return class_of


def _frozen(array: Table) -> Table:
    array.setflags(write=False)  # kernels tell arrays by whether they may be written to
    return array
