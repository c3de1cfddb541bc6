"""From a pattern to the trigrams that any matching text must hold, after Cox.

(Russ Cox, Regular Expression Matching with a Trigram Index, 2012, https://swtch.com/~rsc/regexp/regexp4.html.) A plan
may name too few trigrams, which costs time; it never names one too many, which would lose a match. Where the strings
that a part can match are few, they are carried along, so that trigrams reach across parts: `ab(c|d)e` needs `abc` and
`bce`, or `abd` and `bde`.
"""

from collections.abc import Collection
from itertools import product, takewhile
from typing import Final

import msgspec

from indexer.native.folding import fold_text
from indexer.native.syntax import Characters, Choice, Node, NotUnderstood, Repeat, Sequence, parse_regex

TRIGRAM_BYTES: Final = 3

_MAX_STRINGS: Final = 32
_MAX_CHARACTERS: Final = 4_096
_MAX_COPIES: Final = 8


class Everything(msgspec.Struct, frozen=True, tag=True):
    """Nothing is known: every document is a candidate."""


class AllTrigrams(msgspec.Struct, frozen=True, tag=True):
    """Candidates hold all of these trigrams (as numbers, see `trigrams_of`)."""

    trigrams: frozenset[int]


class AllOf(msgspec.Struct, frozen=True, tag=True):
    """Candidates of every one of these plans."""

    plans: tuple["Plan", ...]


class AnyOf(msgspec.Struct, frozen=True, tag=True):
    """Candidates of at least one of these plans."""

    plans: tuple["Plan", ...]


Plan = Everything | AllTrigrams | AllOf | AnyOf

EVERYTHING: Final = Everything()


def plan_literal(text: str) -> Plan:
    """The plan for a text that stands for itself, in any case."""
    return _plan_of_string(fold_text(text))


def plan_regex(pattern: str) -> Plan:
    """The plan for a pattern that RE2 accepts, with any flags."""
    try:
        return _plan(parse_regex(pattern))
    except NotUnderstood:
        return EVERYTHING


def required_literals(pattern: str) -> frozenset[str]:
    """Folded texts that every match of a pattern is known to hold, whatever its case."""
    try:
        return _know(parse_regex(pattern)).required
    except NotUnderstood:
        return frozenset()


def trigrams_of(data: bytes) -> frozenset[int]:
    """The distinct trigrams of folded UTF-8, each as the number that its three bytes make, big-endian."""
    return frozenset(one << 16 | two << 8 | three for one, two, three in zip(data, data[1:], data[2:], strict=False))


Strings = frozenset[str]

_NOTHING: Final[Strings] = frozenset({""})


class _Known(msgspec.Struct, frozen=True):
    """What is known of a node: all strings that it can match, or, where those are None, a plan and texts in each."""

    strings: Strings | None
    plan: Plan = EVERYTHING
    texts: Strings = frozenset()

    @property
    def required(self) -> Strings:
        """Texts that are in every match."""
        return self.texts if self.strings is None else _common_texts(self.strings)

    def as_plan(self) -> Plan:
        return self.plan if self.strings is None else _plan_of_strings(self.strings)


def _plan(node: Node) -> Plan:
    return _know(node).as_plan()


def _know(node: Node) -> _Known:
    match node:
        case Characters(options):
            return _Known(options)
        case Sequence(parts):
            return _know_sequence(parts)
        case Choice(parts):
            return _know_choice(parts)
        case Repeat():
            return _know_repeat(node)


def _know_sequence(parts: tuple[Node, ...]) -> _Known:
    strings = _NOTHING
    plans: list[Plan] = []
    texts: set[str] = set()
    for part in parts:
        known = _know(part)
        joined = _joined(strings, known.strings)
        if joined is None:
            plans.append(_plan_of_strings(strings))
            texts |= _common_texts(strings)
            if known.strings is None:
                plans.append(known.plan)
                texts |= known.texts
            joined = _NOTHING if known.strings is None else known.strings
        strings = joined
    if not plans:
        return _Known(strings)
    texts |= _common_texts(strings)
    return _Known(None, _all_of([*plans, _plan_of_strings(strings)]), frozenset(texts))


def _know_choice(parts: tuple[Node, ...]) -> _Known:
    known = [_know(part) for part in parts]
    exact = [each.strings for each in known if each.strings is not None]
    strings = frozenset[str]().union(*exact)
    if len(exact) == len(known) and _few(strings):
        return _Known(strings)
    return _Known(None, _any_of([each.as_plan() for each in known]))


def _know_repeat(node: Repeat) -> _Known:
    if node.least == 0:
        strings = _know(node.part).strings if node.most == 1 else None
        return _Known(None if strings is None else strings | _NOTHING)
    copies = min(node.least, _MAX_COPIES)
    known = _know_sequence((node.part,) * copies)
    return known if copies == node.most else _Known(None, known.as_plan(), known.required)


def _joined(left: Strings, right: Strings | None) -> Strings | None:
    """Each of these followed by each of those; None when they are unknown or too many."""
    if right is None or len(left) * len(right) > _MAX_STRINGS:
        return None
    joined = frozenset(before + after for before, after in product(left, right))
    return joined if _few(joined) else None


def _few(strings: Strings) -> bool:
    return len(strings) <= _MAX_STRINGS and sum(map(len, strings)) <= _MAX_CHARACTERS


def _common_texts(strings: Strings) -> Strings:
    """Texts that are in all of these: how they all begin and end, unless shorter than a trigram."""
    beginning = _common_beginning(strings)
    ending = _common_beginning([each[::-1] for each in strings])[::-1]
    return frozenset(each for each in (beginning, ending) if len(each.encode()) >= TRIGRAM_BYTES)


def _common_beginning(texts: Collection[str]) -> str:
    first, last = min(texts), max(texts)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(character for character, _ in alike)


def _plan_of_strings(strings: Strings) -> Plan:
    return _any_of([_plan_of_string(each.encode()) for each in sorted(strings)])


def _plan_of_string(folded: bytes) -> Plan:
    trigrams = trigrams_of(folded)
    return AllTrigrams(trigrams) if trigrams else EVERYTHING


def _all_of(plans: list[Plan]) -> Plan:
    useful = tuple(plan for plan in plans if plan != EVERYTHING)
    if len(useful) == 1:
        return useful[0]
    return AllOf(useful) if useful else EVERYTHING


def _any_of(plans: list[Plan]) -> Plan:
    if EVERYTHING in plans:
        return EVERYTHING
    return plans[0] if len(plans) == 1 else AnyOf(tuple(plans))
