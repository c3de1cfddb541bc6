r"""RE2 syntax to a tree of the very bytes that a match is made of, for the part of the syntax that is common.

`indexer.native.syntax` reads more of the syntax and keeps less of what it means. Here nothing is lost: the tree matches
what the pattern matches, in valid UTF-8, or `NotUnderstood` is raised and RE2 is left with the pattern. Left to it are
flags within the pattern, quotations, classes by name, and characters beyond ASCII in classes or without regard to case.
Matches stay within their lines. (https://github.com/google/re2/wiki/Syntax)
"""

import re
from typing import Final

import msgspec

from indexer.native.syntax import NotUnderstood

_MAX_DEPTH: Final = 30
_MAX_COPIES: Final = 32


class Octet(msgspec.Struct, frozen=True):
    """One byte out of some: bit `b` of `mask` is set for byte `b`."""

    mask: int


class Assertion(msgspec.Struct, frozen=True):
    r"""No byte, at a certain place: `^`, `$`, `b` for `\b`, or `B` for `\B`.

    Two more are none of the syntax: `<` behind, and `>` before, a byte that is no part of a word, by
    `indexer.native.tallies.in_word`, or an end of the line.
    """

    kind: str


class Sequence(msgspec.Struct, frozen=True):
    """All of these, one directly after another."""

    parts: tuple["Node", ...]


class Choice(msgspec.Struct, frozen=True):
    """Any one of these."""

    parts: tuple["Node", ...]


class Repeat(msgspec.Struct, frozen=True):
    """This, at least `least` times, and at most `most` times unless that is None."""

    part: "Node"
    least: int
    most: int | None


Node = Octet | Assertion | Sequence | Choice | Repeat


def octets(members: bytes | range) -> int:
    """A mask of bytes."""
    return sum(1 << byte for byte in set(members))


_NEWLINE: Final = octets(b"\n")
_ASCII: Final = octets(range(0x80)) & ~_NEWLINE
_DIGITS: Final = octets(range(0x30, 0x3A))
_UPPER: Final = octets(range(0x41, 0x5B))
_LETTER_CASE: Final = 0x20
WORD: Final = _DIGITS | _UPPER | _UPPER << _LETTER_CASE | octets(b"_")
"""What is part of a word to `\\b`."""

IN_WORD: Final = WORD | octets(range(0x80, 0x100))
"""What is part of a word to `indexer.native.tallies.in_word`."""

_CLASSES: Final = {"d": _DIGITS, "w": WORD, "s": octets(b"\t\n\f\r ")}
_CONTROLS: Final = {"a": "\a", "f": "\f", "t": "\t", "r": "\r", "v": "\v"}
_CONTINUATION: Final = Octet(octets(range(0x80, 0xC0)))
_BEYOND: Final = tuple(
    Sequence((Octet(octets(range(low, high))), *(_CONTINUATION,) * more))
    for low, high, more in ((0xC2, 0xE0, 1), (0xE0, 0xF0, 2), (0xF0, 0xF5, 3))
)
"""Any character beyond ASCII, in text that is valid UTF-8."""

_GROUP: Final = re.compile(r"\(\?(?:P?<\w+>|:)|\((?!\?)", re.ASCII)
_REPEAT: Final = re.compile(r"(?:([*+?])|\{(\d{1,3})(?:(,)(\d{0,3}))?\})\??", re.ASCII)
_ASSERTION: Final = re.compile(r"([\^$])|\\([bB])")
_CLASS: Final = re.compile(r"\\([dDwWsS])")
_SPECIAL: Final = frozenset("()*+?[|")


def parse_octets(pattern: str, *, ignoring_case: bool) -> Node:
    """The tree of a pattern that RE2 accepts, and whose matches stay within their lines.

    Raises:
        NotUnderstood: it holds what is left to RE2.
    """
    parser = _Parser(pattern, ignoring_case=ignoring_case)
    node = parser.choice(depth=0)
    if not parser.done:
        raise NotUnderstood
    return node


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, pattern: str, *, ignoring_case: bool) -> None:
        self._pattern = pattern
        self._ignoring_case = ignoring_case
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._pattern)

    def choice(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise NotUnderstood
        parts = [self._sequence(depth)]
        while self._skip("|"):
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while not self.done and self._pattern[self._at] not in "|)":
            atom = self._atom(depth)
            repeat = self._match(_REPEAT)
            parts.append(_repeated(atom, repeat) if repeat else atom)
        return Sequence(tuple(parts))

    def _atom(self, depth: int) -> Node:
        if assertion := self._match(_ASSERTION):
            return Assertion(assertion[1] or assertion[2])
        if self._match(_GROUP):
            inner = self.choice(depth + 1)
            if not self._skip(")"):
                raise NotUnderstood
            return inner
        if self._skip("."):
            return _characters(_ASCII, beyond=True)
        if self._skip("["):
            return self._bracketed()
        if named := self._match(_CLASS):
            return _complement(_CLASSES[named[1].lower()]) if named[1].isupper() else _characters(_CLASSES[named[1]])
        return self._plain()

    def _plain(self) -> Node:
        if self._pattern[self._at] in _SPECIAL:
            raise NotUnderstood
        character = self._character()
        if character.isascii():
            return _characters(self._in_any_case(1 << ord(character)))
        if self._ignoring_case:
            raise NotUnderstood
        return Sequence(tuple(Octet(1 << byte) for byte in character.encode()))

    def _bracketed(self) -> Node:
        negated = self._skip("^")
        mask = self._member()
        while not self._skip("]"):
            mask |= self._member()
        mask = self._in_any_case(mask)
        return _complement(mask) if negated else _characters(mask)

    def _member(self) -> int:
        """The bytes of a member of a class."""
        if self._pattern.startswith("[:", self._at):
            raise NotUnderstood
        if named := self._match(_CLASS):
            if named[1].isupper():
                raise NotUnderstood
            return _CLASSES[named[1]]
        low = high = self._character()
        if self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at):
            self._at += 1
            high = self._character()
        if not (low.isascii() and high.isascii()):
            raise NotUnderstood
        return octets(range(ord(low), ord(high) + 1))

    def _character(self) -> str:
        """A character that stands for itself, escaped or not."""
        character = self._next()
        if character != "\\":
            return character
        escaped = self._next()
        if escaped in _CONTROLS:
            return _CONTROLS[escaped]
        if not escaped.isascii() or escaped.isalnum():
            raise NotUnderstood
        return escaped

    def _in_any_case(self, mask: int) -> int:
        if not self._ignoring_case:
            return mask
        return mask | (mask & _UPPER) << _LETTER_CASE | mask >> _LETTER_CASE & _UPPER

    def _match(self, what: re.Pattern[str]) -> re.Match[str] | None:
        match = what.match(self._pattern, self._at)
        if match:
            self._at = match.end()
        return match

    def _skip(self, character: str) -> bool:
        found = self._pattern.startswith(character, self._at)
        self._at += found
        return found

    def _next(self) -> str:
        if self.done:
            raise NotUnderstood
        self._at += 1
        return self._pattern[self._at - 1]


def _characters(mask: int, *, beyond: bool = False) -> Node:
    ascii_part = Octet(mask & ~_NEWLINE)
    return Choice((ascii_part, *_BEYOND)) if beyond else ascii_part


def _complement(mask: int) -> Node:
    return _characters(_ASCII & ~mask, beyond=True)


def _repeated(part: Node, repeat: re.Match[str]) -> Node:
    sign, least, comma, most = repeat.groups()
    if sign:
        return Repeat(part, 1 if sign == "+" else 0, 1 if sign == "?" else None)
    if max(int(least), int(most or 0)) > _MAX_COPIES:
        raise NotUnderstood
    if not comma:
        return Repeat(part, int(least), int(least))
    return Repeat(part, int(least), int(most) if most else None)
