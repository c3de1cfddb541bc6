"""Literals, searched for without RE2: a compiled scan that goes through many documents in one call.

Almost every position is dismissed by its two rarest bytes, 64 positions at a time, which the compiler turns into vector
instructions (the idea is the "generic SIMD" of https://github.com/BurntSushi/memchr, `memmem`). Matches are those of
RE2: leftmost first, none within another.
"""

from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from indexer.compiled import boolean, inlined, int64, kernel, readable, record, uint8, uint32, uint64, void, writable
from indexer.native.folding import FOLDED, FOREIGN_FORMS

_BLOCK: Final = 64
_LETTER_CASE: Final = 0x20
_COMMON_BYTES: Final = (
    b"zqjXQZKJVYWGHBFUMPDNLOACRSITE\\@~`%$^?!|98765432+&#'[]<>{}:10\"/xwkvy=*.;,)(-hgbpm_fud\tlcosnaire t\n"
)
"""Of source code and prose, the most common one last; bytes that are not named are rarer than these."""

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Ordinals = npt.NDArray[np.uint32]

_ORBIT_MEMBERS: Final = FOLDED.keys() | set(FOLDED.values())


class Texts(NamedTuple):
    """All documents of a segment.

    Attributes:
        data: their text in UTF-8, one after another, uint8.
        starts: byte where each begins, and the end of the last, uint64.
    """

    data: Bytes
    starts: npt.NDArray[np.uint64]


class Needle(NamedTuple):
    """A literal as the kernels take it: a byte of text matches a place where `byte | masks[place] == values[place]`.

    Attributes:
        values: shape (n,), uint8, n > 0.
        masks: the bit by which the cases of an ASCII letter differ where case is ignored, else 0; shape (n,), uint8.
        first_place: of the rarest byte.
        second_place: of the next; the same as the first in a literal of one byte.
        foreign_forms: whether a character beyond ASCII counts as one of the letters, so that the texts that hold
            such characters must be searched by other means.
    """

    values: Bytes
    masks: Bytes
    first_place: int
    second_place: int
    foreign_forms: bool

    @classmethod
    def exact(cls, text: str) -> Self:
        """A literal in its own case."""
        data = np.frombuffer(text.encode(), np.uint8)
        return cls._of(data, np.zeros_like(data), foreign_forms=False)

    @classmethod
    def ignoring_case(cls, text: str) -> Self | None:
        """A literal in any case; None when it holds letters beyond ASCII, whose forms differ by more than a bit."""
        if any(not each.isascii() and ord(each) in _ORBIT_MEMBERS for each in text):
            return None
        lowered = "".join(each.lower() if each.isascii() else each for each in text)
        data = np.frombuffer(lowered.encode(), np.uint8)
        letters = (data >= ord("a")) & (data <= ord("z"))
        masks = np.where(letters, _LETTER_CASE, 0).astype(np.uint8)
        forms = {chr(FOLDED[ord(each)]) for each in FOREIGN_FORMS}
        return cls._of(data, masks, foreign_forms=not forms.isdisjoint(lowered))

    @classmethod
    def _of(cls, values: Bytes, masks: Bytes, *, foreign_forms: bool) -> Self:
        rarest_first = sorted(range(len(values)), key=lambda place: _COMMON_BYTES.find(int(values[place])))
        masks.setflags(write=False)  # kernels tell arrays by whether they may be written to
        return cls(values, masks, rarest_first[0], rarest_first[min(1, len(values) - 1)], foreign_forms)


TEXTS: Final = record(Texts, readable(uint8), readable(uint64))
NEEDLE: Final = record(Needle, readable(uint8), readable(uint8), int64, int64, boolean)
"""The types of these, for the kernels that take them."""


def first_matches(texts: Texts, ordinals: Ordinals, needle: Needle) -> Numbers:
    """Where a literal occurs first.

    Args:
        texts: of a segment.
        ordinals: documents to look at, shape (n,).
        needle: the literal.

    Returns:
        byte of the document where the first match begins, -1 where there is none; shape (n,), int64.
    """
    found = np.empty(len(ordinals), np.int64)
    _first_matches(texts, ordinals, needle, found)
    return found


def count_matches(texts: Texts, ordinals: Ordinals, needle: Needle, limit: int) -> tuple[Numbers, Numbers]:
    """How often a literal occurs.

    Args:
        texts: of a segment.
        ordinals: documents to look at, shape (n,).
        needle: the literal.
        limit: matches of a document to count at most.

    Returns:
        the matches, and those of them that begin and end at word boundaries; each of shape (n,), int64.
    """
    counts, words = np.empty(len(ordinals), np.int64), np.empty(len(ordinals), np.int64)
    _count_matches(texts, ordinals, needle, limit, counts, words)
    return counts, words


@inlined
def _occurs(text: Bytes, at: int, needle: Needle) -> bool:
    for place in range(len(needle.values)):  # noqa: SIM110 - kernels have no generators
        if (text[at + place] | needle.masks[place]) != needle.values[place]:
            return False
    return True


@inlined
def _may_occur(text: Bytes, at: int, needle: Needle) -> bool:
    """Whether a match may begin at one of the 64 positions from `at` on."""
    first = text[at + needle.first_place : at + needle.first_place + _BLOCK]
    second = text[at + needle.second_place : at + needle.second_place + _BLOCK]
    first_value, first_mask = needle.values[needle.first_place], needle.masks[needle.first_place]
    second_value, second_mask = needle.values[needle.second_place], needle.masks[needle.second_place]
    possible = False
    for offset in range(_BLOCK):
        possible |= ((first[offset] | first_mask) == first_value) & ((second[offset] | second_mask) == second_value)
    return possible


@inlined
def find(text: Bytes, at: int, end: int, needle: Needle) -> Any:  # noqa: ANN401 - an integer of numba's
    """For kernels: where the first match from `at` on begins; `end`, which a match must fit behind, when none does."""
    value, mask = needle.values[needle.first_place], needle.masks[needle.first_place]
    while at < end:
        stop = min(at + _BLOCK, end)
        if stop == at + _BLOCK and not _may_occur(text, at, needle):
            at = stop
        while at < stop:
            if (text[at + needle.first_place] | mask) == value and _occurs(text, at, needle):
                return at
            at += 1
    return end


@inlined
def _in_word(byte: int) -> bool:
    """As `indexer.native.ranking.in_word`."""
    return byte >= 0x80 or byte == 0x5F or (0x30 <= byte <= 0x39) or (0x41 <= byte & 0xDF <= 0x5A)  # noqa: PLR2004 - ASCII


@kernel(void, TEXTS, readable(uint32), NEEDLE, writable(int64))
def _first_matches(texts: Texts, ordinals: Ordinals, needle: Needle, found: Numbers) -> None:
    for place in range(len(ordinals)):
        text = texts.data[texts.starts[ordinals[place]] : texts.starts[ordinals[place] + 1]]
        end = max(0, len(text) - len(needle.values) + 1)
        at = find(text, 0, end, needle)
        found[place] = at if at < end else -1


@kernel(void, TEXTS, readable(uint32), NEEDLE, int64, writable(int64), writable(int64))
def _count_matches(
    texts: Texts, ordinals: Ordinals, needle: Needle, limit: int, counts: Numbers, words: Numbers
) -> None:
    for place in range(len(ordinals)):
        text = texts.data[texts.starts[ordinals[place]] : texts.starts[ordinals[place] + 1]]
        end = max(0, len(text) - len(needle.values) + 1)
        count, bounded = 0, 0
        at = find(text, 0, end, needle)
        while at < end and count < limit:
            after = at + len(needle.values)
            open_before = at == 0 or not _in_word(text[at - 1])
            open_after = after == len(text) or not _in_word(text[after])
            bounded += open_before and open_after
            count += 1
            at = find(text, after, end, needle) if count < limit else end
        counts[place], words[place] = count, bounded
