r"""RE2 syntax to a tree that says no more than which characters must follow each other.

Only patterns that RE2 has compiled come here. Case and flags do not matter, since the index is folded: a tree for
`(?i)` is a tree for all. What is not understood for certain raises `NotUnderstood`, and nothing is concluded from the
pattern. (https://github.com/google/re2/wiki/Syntax)
"""

import re
import sys
from typing import Final

import msgspec

from indexer.native.folding import FOLDED

MAX_DEPTH: Final = 60
MAX_OPTIONS: Final = 8
"""A class of more characters than this counts as any character."""

_GROUP: Final = re.compile(r"\(\?(?:P?<\w+>|[imsU]*(?:-[imsU]+)?:)|\((?!\?)")
_FLAGS: Final = re.compile(r"\(\?[imsU]*(?:-[imsU]+)?\)")
_REPEAT: Final = re.compile(r"(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??")
_ASSERTION: Final = re.compile(r"[\^$]|\\[AzbB]")
_ANY: Final = re.compile(r"\.|\\(?:[dDsSwWC]|[pP](?:\{[^}]*\}|.))")
_QUOTED: Final = re.compile(r"\\Q(.*?)(?:\\E|\Z)", re.DOTALL)
_CODE: Final = re.compile(r"\\(?:x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{2})|([0-7]{1,3}))")
_POSIX_CLASS: Final = re.compile(r"\[:\^?\w+:\]")
_SURROGATES: Final = range(0xD800, 0xE000)
_CONTROLS: Final = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}


class NotUnderstood(Exception):
    """The pattern holds something that this parser leaves to RE2."""


class Characters(msgspec.Struct, frozen=True):
    """One character out of some, folded; out of all when None."""

    options: frozenset[str] | None


class Sequence(msgspec.Struct, frozen=True):
    """All of these, one directly after another; none at all is the empty string."""

    parts: tuple["Node", ...]


class Choice(msgspec.Struct, frozen=True):
    """Any one of these."""

    parts: tuple["Node", ...]


class Repeat(msgspec.Struct, frozen=True):
    """This, at least `least` times, and at most `most` times unless that is None."""

    part: "Node"
    least: int
    most: int | None


Node = Characters | Sequence | Choice | Repeat

ANY: Final = Characters(None)
EMPTY: Final = Sequence(())


def parse_regex(pattern: str) -> Node:
    """The tree of a pattern that RE2 accepts.

    Raises:
        NotUnderstood: nothing can be said about it.
    """
    parser = _Parser(pattern)
    node = parser.choice(depth=0)
    if not parser.done:
        raise NotUnderstood
    return node


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._pattern)

    def choice(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise NotUnderstood
        parts = [self._sequence(depth)]
        while self._skip("|"):
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while not self.done and self._pattern[self._at] not in "|)":
            item = self._item(depth)
            if repeat := self._match(_REPEAT):
                if not item:
                    raise NotUnderstood  # RE2 looks further back for what to repeat
                item = [*item[:-1], _repeated(item[-1], repeat)]  # of a quotation, the last character
            parts.extend(item)
        return Sequence(tuple(parts))

    def _item(self, depth: int) -> list[Node]:
        """What a quantifier behind it would repeat, as one node; a quotation as one a character, flags as none."""
        if self._match(_FLAGS):
            return []
        if quoted := self._match(_QUOTED):
            return [_character(each) for each in quoted[1]]
        return [self._atom(depth)]

    def _atom(self, depth: int) -> Node:
        if self._match(_ASSERTION):
            return EMPTY
        if self._match(_ANY):
            return ANY
        if self._match(_GROUP):
            inner = self.choice(depth + 1)
            if not self._skip(")"):
                raise NotUnderstood
            return inner
        return self._class() if self._pattern[self._at] == "[" else _character(self._plain())

    def _plain(self) -> str:
        """A character that stands for itself, escaped or not."""
        if code := self._match(_CODE):
            return _decoded(code)
        character = self._next()
        if character != "\\":
            if character in "()*+?":
                raise NotUnderstood
            return character
        escaped = self._next()
        if escaped in _CONTROLS:
            return _CONTROLS[escaped]
        if not escaped.isascii() or escaped.isalnum():
            raise NotUnderstood
        return escaped

    def _class(self) -> Node:
        self._at += 1
        negated = self._skip("^")
        options: set[str] | None = set()
        first = True
        while first or self._pattern[self._at : self._at + 1] != "]":
            member = self._class_member()
            options = None if options is None or member is None else options | member
            first = False
        self._at += 1
        if negated or options is None or len(options) > MAX_OPTIONS:
            return ANY
        return Characters(frozenset(options))

    def _class_member(self) -> set[str] | None:
        """The characters of a member of a class; None when they are many or unknown."""
        if self._match(_POSIX_CLASS) or self._match_in_class_any():
            return None
        low = self._plain_in_class()
        if self._pattern[self._at : self._at + 1] != "-" or self._pattern[self._at + 1 : self._at + 2] == "]":
            return {_folded(low)}
        self._at += 1
        high = self._plain_in_class()
        if not 0 <= ord(high) - ord(low) < MAX_OPTIONS:
            return None
        return {_folded(chr(code)) for code in range(ord(low), ord(high) + 1)}

    def _match_in_class_any(self) -> bool:
        r"""A class such as `\d` inside a class; a dot there is a dot."""
        return self._pattern[self._at : self._at + 1] == "\\" and self._match(_ANY) is not None

    def _plain_in_class(self) -> str:
        character = self._pattern[self._at : self._at + 1]
        return self._plain() if character == "\\" else self._next()

    def _match(self, what: re.Pattern[str]) -> re.Match[str] | None:
        match = what.match(self._pattern, self._at)
        if match:
            self._at = match.end()
        return match

    def _skip(self, character: str) -> bool:
        found = self._pattern[self._at : self._at + 1] == character
        self._at += found
        return found

    def _next(self) -> str:
        if self.done:
            raise NotUnderstood
        self._at += 1
        return self._pattern[self._at - 1]


def _repeated(part: Node, repeat: re.Match[str]) -> Node:
    sign, least, comma, most = repeat.groups()
    if sign:
        return Repeat(part, 1 if sign == "+" else 0, 1 if sign == "?" else None)
    if not comma:
        return Repeat(part, int(least), int(least))
    return Repeat(part, int(least), int(most) if most else None)


def _decoded(code: re.Match[str]) -> str:
    long, short, octal = code.groups()
    value = int(octal, 8) if octal else int(long or short, 16)
    if value > sys.maxunicode or value in _SURROGATES:
        raise NotUnderstood
    return chr(value)


def _character(character: str) -> Characters:
    return Characters(frozenset({_folded(character)}))


def _folded(character: str) -> str:
    code = ord(character)
    return chr(FOLDED.get(code, code))
