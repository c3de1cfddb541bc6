"""Literals of which every match of a regex holds one, in the very case in which it holds them.

`indexer.native.plan` knows more of the syntax, and nothing of case. Here the tree of bytes is asked, so what is left to
RE2 is left to it here too.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final

import msgspec

from indexer.native.literal import Needle
from indexer.native.octets import Assertion, Choice, Node, Octet, Repeat, Sequence
from indexer.native.plan import TRIGRAM_BYTES

_MAX_LITERALS: Final = 8
"""To look for at once."""

_MAX_COPIES: Final = 8
_LETTER_CASE: Final = 0x20

String = tuple[int, ...]
"""The mask of each of its bytes: of one, or of both cases of a letter."""

Strings = frozenset[String]

_NOTHING: Final[Strings] = frozenset({()})


def required_needles(node: Node) -> list[tuple[Needle, ...]]:
    """Sets of literals of three bytes or more; every match holds a member of each set."""
    known = _know(node)
    return [tuple(Needle.of_masks(each) for each in sorted(strings)) for strings in known.required]


class _Known(msgspec.Struct, frozen=True):
    """What is known of a node: all strings that it can match, or, where those are None, sets that match one each."""

    strings: Strings | None
    choices: tuple[Strings, ...] = ()

    @property
    def required(self) -> tuple[Strings, ...]:
        return self.choices if self.strings is None else _useful(self.strings)


def _know(node: Node) -> _Known:
    match node:
        case Octet(mask):
            return _Known(_options(mask))
        case Assertion():
            return _Known(_NOTHING)
        case Sequence(parts):
            return _know_sequence(parts)
        case Choice(parts):
            return _know_choice([_know(part) for part in parts])
        case Repeat(part, least, most):
            return _know_repeat(part, least, most)


def _know_sequence(parts: tuple[Node, ...]) -> _Known:
    strings = _NOTHING
    choices: list[Strings] = []
    exact = True
    for part in parts:
        known = _know(part)
        joined = _joined(strings, known.strings)
        if joined is None:
            exact = False
            choices += [*_useful(strings), *known.choices]
            joined = _NOTHING if known.strings is None else known.strings
        strings = joined
    return _Known(strings) if exact else _Known(None, (*choices, *_useful(strings)))


def _know_choice(known: list[_Known]) -> _Known:
    exact = [each.strings for each in known if each.strings is not None]
    strings = frozenset[String]().union(*exact)
    if len(exact) == len(known) and len(strings) <= _MAX_LITERALS:
        return _Known(strings)
    if not all(each.required for each in known):
        return _Known(None)
    longest = frozenset[String]().union(*(max(each.required, key=_shortest) for each in known))
    return _Known(None, (longest,) if len(longest) <= _MAX_LITERALS else ())


def _know_repeat(part: Node, least: int, most: int | None) -> _Known:
    if least == 0:
        strings = _know(part).strings if most == 1 else None
        return _Known(None if strings is None or len(strings) == _MAX_LITERALS else strings | _NOTHING)
    copies = min(least, _MAX_COPIES)
    known = _know_sequence((part,) * copies)
    return known if copies == most else _Known(None, known.required)


def _options(mask: int) -> Strings | None:
    """The bytes of a class, those that differ in case together; None when they are too many, or none at all."""
    options = frozenset((_in_its_cases(byte, mask),) for byte in _members(mask))
    return options if 0 < len(options) <= _MAX_LITERALS else None


def _members(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _in_its_cases(byte: int, mask: int) -> int:
    both = 1 << (byte | _LETTER_CASE) | 1 << (byte & ~_LETTER_CASE)
    is_letter = chr(byte).isascii() and chr(byte).isalpha()
    return both if is_letter and mask & both == both else 1 << byte


def _joined(left: Strings, right: Strings | None) -> Strings | None:
    """Each of these followed by each of those; None when they are unknown or too many."""
    if right is None or len(left) * len(right) > _MAX_LITERALS:
        return None
    return frozenset(before + after for before, after in product(left, right))


def _useful(strings: Strings) -> tuple[Strings, ...]:
    """These, without those that hold another one; nothing when one is too short to be worth looking for."""
    return (frozenset(_without_longer(strings)),) if _shortest(strings) >= TRIGRAM_BYTES else ()


def _shortest(strings: Strings) -> int:
    return min(map(len, strings))


def _without_longer(strings: Strings) -> Iterable[String]:
    return (each for each in strings if not any(_holds(each, other) for other in strings if len(other) < len(each)))


def _holds(text: String, other: String) -> bool:
    return any(text[at : at + len(other)] == other for at in range(len(text) - len(other) + 1))
