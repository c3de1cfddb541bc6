"""Literals, searched for without RE2: a compiled scan that goes through many documents in one call.

Almost every position is dismissed by its three rarest bytes, 128 positions at a time, which the compiler turns into
vector instructions (the idea is the "generic SIMD" of https://github.com/BurntSushi/memchr, `memmem`).
"""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from indexer.compiled import boolean, inlined, int64, kernel, readable, record, uint8, uint32, uint64, void, writable
from indexer.native.folding import FOLDED, FOREIGN_FORMS, fold_text
from indexer.native.tallies import Bytes, Numbers, Ordinals, Tallies, in_word, line_end, line_start, window_end

_BLOCK: Final = 128
_LETTER_CASE: Final = 0x20
_COMMON_BYTES: Final = (
    b"zqjXQZKJVYWGHBFUMPDNLOACRSITE\\@~`%$^?!|98765432+&#'[]<>{}:10\"/xwkvy=*.;,)(-hgbpm_fud\tlcosnaire t\n"
)
"""Of source code and prose, the most common one last; bytes that are not named are rarer than these."""

_RARITY: Final = bytes(1 + _COMMON_BYTES.find(byte) for byte in range(256))
"""The place of each byte among the common ones, 0 for the rarest."""

_CASE_MASKS: Final = bytes(_LETTER_CASE if chr(byte) in ascii_lowercase else 0 for byte in range(256))
"""The mask of each byte of a literal that is searched for in any case."""

_ORBIT_MEMBERS: Final = FOLDED.keys() | set(FOLDED.values())
_LETTERS_WITH_FOREIGN_FORMS: Final = frozenset(FOLDED[ord(each)] for each in FOREIGN_FORMS)


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
        second_place: of the next; the same as the one before in a shorter literal.
        third_place: of the one after that; likewise.
        foreign_forms: whether a character beyond ASCII counts as one of the letters, so that the texts that hold
            such characters must be searched by other means.
    """

    values: Bytes
    masks: Bytes
    first_place: int
    second_place: int
    third_place: int
    foreign_forms: bool

    @property
    def folded(self) -> bytes:
        """As it is in the folded text, but for characters of which it holds a part."""
        return fold_text(self.values.tobytes().decode(errors="ignore"))

    @classmethod
    def exact(cls, text: str) -> Self:
        """A literal in its own case."""
        data = text.encode()
        return cls._of(data, bytes(len(data)), foreign_forms=False)

    @classmethod
    def ignoring_case(cls, text: str) -> Self | None:
        """A literal in any case; None when it holds letters beyond ASCII, whose forms differ by more than a bit."""
        if not text.isascii() and any(not each.isascii() and ord(each) in _ORBIT_MEMBERS for each in text):
            return None
        data = text.encode().lower()  # of bytes, letters of ASCII alone have another case
        foreign_forms = not _LETTERS_WITH_FOREIGN_FORMS.isdisjoint(data)
        return cls._of(data, data.translate(_CASE_MASKS), foreign_forms=foreign_forms)

    @classmethod
    def of_masks(cls, masks: Sequence[int]) -> Self:
        """A literal of which each byte is given as the mask of what it may be: one byte, or a letter in both cases."""
        values = bytes(each.bit_length() - 1 for each in masks)  # of letters, the lower case
        both = bytes(_LETTER_CASE if each.bit_count() > 1 else 0 for each in masks)
        return cls._of(values, both, foreign_forms=False)

    @classmethod
    def _of(cls, values: bytes, masks: bytes, *, foreign_forms: bool) -> Self:
        rarest_first = sorted(range(len(values)), key=values.translate(_RARITY).__getitem__)
        first, second, third = (rarest_first[min(place, len(values) - 1)] for place in range(3))
        arrays = np.frombuffer(values, np.uint8), np.frombuffer(masks, np.uint8)  # as kernels ask for them, read-only
        return cls(*arrays, first, second, third, foreign_forms)


TEXTS: Final = record(Texts, readable(uint8), readable(uint64))
NEEDLE: Final = record(Needle, readable(uint8), readable(uint8), int64, int64, int64, boolean)
"""The types of these, for the kernels that take them."""


def tally_literal(texts: Texts, ordinals: Ordinals, needle: Needle, *, window: int, limit: int) -> Tallies:
    """Find and count a literal; see `indexer.native.tallies`.

    Args:
        texts: of a segment.
        ordinals: documents to look at, shape (n,).
        needle: the literal.
        window: bytes from the first line with a match on, in which others count.
        limit: lines of a document to count at most.
    """
    tallies = Tallies.empty(len(ordinals))
    _tally_literal(texts, ordinals, needle, window, limit, tallies.places, tallies.counts, tallies.words)
    return tallies


@inlined
def _occurs(text: Bytes, at: int, needle: Needle) -> bool:
    for place in range(len(needle.values)):  # noqa: SIM110 - kernels have no generators
        if (text[at + place] | needle.masks[place]) != needle.values[place]:
            return False
    return True


@inlined
def _may_occur(text: Bytes, at: int, needle: Needle) -> bool:
    """Whether a match may begin at one of the 128 positions from `at` on."""
    first = text[at + needle.first_place : at + needle.first_place + _BLOCK]
    second = text[at + needle.second_place : at + needle.second_place + _BLOCK]
    third = text[at + needle.third_place : at + needle.third_place + _BLOCK]
    first_value, first_mask = needle.values[needle.first_place], needle.masks[needle.first_place]
    second_value, second_mask = needle.values[needle.second_place], needle.masks[needle.second_place]
    third_value, third_mask = needle.values[needle.third_place], needle.masks[needle.third_place]
    possible = False
    for offset in range(_BLOCK):
        alike = ((first[offset] | first_mask) == first_value) & ((second[offset] | second_mask) == second_value)
        possible |= alike & ((third[offset] | third_mask) == third_value)
    return possible


@inlined
def find(text: Bytes, at: int, end: int, needle: Needle) -> Any:  # noqa: ANN401 - an integer of numba's
    """For kernels: where the first match begins from `at` to before `end`; the length of the text when none does."""
    value, mask = needle.values[needle.first_place], needle.masks[needle.first_place]
    fitting = len(text) - len(needle.values) + 1
    end = min(end, fitting)
    while at < end:
        stop = min(at + _BLOCK, end)
        if at + _BLOCK <= fitting and not _may_occur(text, at, needle):
            at = stop
        while at < stop:
            if (text[at + needle.first_place] | mask) == value and _occurs(text, at, needle):
                return at
            at += 1
    return len(text)


@inlined
def _is_word(text: Bytes, at: int, after: int) -> bool:
    open_before = at == 0 or not in_word(text[at - 1])
    open_after = after == len(text) or not in_word(text[after])
    return open_before and open_after


@inlined
def _has_word(text: Bytes, at: int, end: int, needle: Needle) -> bool:
    """Whether a match that begins and ends at word boundaries begins from `at` to before `end`."""
    value, mask = needle.values[needle.first_place], needle.masks[needle.first_place]
    for start in range(at, min(end, len(text) - len(needle.values) + 1)):
        likely = (text[start + needle.first_place] | mask) == value
        if likely and _is_word(text, start, start + len(needle.values)) and _occurs(text, start, needle):
            return True
    return False


@kernel(void, TEXTS, readable(uint32), NEEDLE, int64, int64, writable(int64), writable(int64), writable(int64))
def _tally_literal(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    texts: Texts,
    ordinals: Ordinals,
    needle: Needle,
    window: int,
    limit: int,
    places: Numbers,
    counts: Numbers,
    words: Numbers,
) -> None:
    for place in range(len(ordinals)):
        text = texts.data[texts.starts[ordinals[place]] : texts.starts[ordinals[place] + 1]]
        at = find(text, 0, len(text), needle)
        places[place], counts[place], words[place] = -1, 0, 0
        if at < len(text):
            places[place] = line_start(text, at, 0)
            stop = window_end(text, places[place], window)
            while at < stop and counts[place] < limit:
                end = line_end(text, at)
                counts[place] += 1
                words[place] += _has_word(text, at, end + 1, needle)
                at = find(text, end + 1, stop, needle)
