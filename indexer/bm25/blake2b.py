"""BLAKE2b (RFC 7693) of many short texts in one call, 64 bits each: `hashlib` needs a call and some objects for each.

A segment has hundreds of thousands of distinct terms, and their hashes took as long as reading its text.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.compiled import inlined, kernel, readable, uint8, uint64, void, writable

Bytes = npt.NDArray[np.uint8]
Word = np.uint64
Digests = npt.NDArray[np.uint64]

SEPARATOR: Final = b"\n"
"""Behind each text."""

_BLOCK: Final = 128
_ROUNDS: Final = 12
_IV: Final = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    np.uint64,
)
_SIGMA: Final = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ],
    np.int64,
)
_PARAMETERS: Final = np.uint64(0x0101_0008)
"""Of the hash: no key, 8 bytes of digest."""


def blake2b_each(text: bytes, count: int) -> Digests:
    """The digests of texts, shape (texts,), uint64; the bytes of each in little-endian order are BLAKE2b's.

    Args:
        text: of all, `SEPARATOR` behind each; so none has one itself.
        count: how many there are.

    Raises:
        ValueError: there are more or fewer.
    """
    if text.count(SEPARATOR) != count or not text.endswith(SEPARATOR * min(count, 1)):
        raise ValueError(f"{count} texts were to be hashed, and {text.count(SEPARATOR)} are here")
    digests = np.empty(count, np.uint64)
    _hash_each(np.frombuffer(text, np.uint8), digests)
    return digests


@inlined
def _rotated(word: np.uint64, bits: int) -> np.uint64:
    """To the right."""
    return (word >> np.uint64(bits)) | (word << np.uint64(64 - bits))


@inlined
def _mix(a: Word, b: Word, c: Word, d: Word, x: Word, y: Word) -> tuple[Word, Word, Word, Word]:
    """G: mix two words of the message into four of the state."""
    a = a + b + x
    d = _rotated(d ^ a, 32)
    c += d
    b = _rotated(b ^ c, 24)
    a = a + b + y
    d = _rotated(d ^ a, 16)
    c += d
    b = _rotated(b ^ c, 63)
    return a, b, c, d


@inlined
def _compress(h: Digests, m: Digests, hashed: int, last: bool) -> None:  # noqa: FBT001 - a kernel's
    """F: take one block into the state, `hashed` bytes with it."""
    v0, v1, v2, v3, v4, v5, v6, v7 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]
    v8, v9, v10, v11, v12, v13, v14, v15 = _IV[0], _IV[1], _IV[2], _IV[3], _IV[4], _IV[5], _IV[6], _IV[7]
    v12 ^= np.uint64(hashed)
    if last:
        v14 = ~v14
    for number in range(_ROUNDS):
        s = _SIGMA[number % len(_SIGMA)]
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, m[s[0]], m[s[1]])
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, m[s[2]], m[s[3]])
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, m[s[4]], m[s[5]])
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, m[s[6]], m[s[7]])
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, m[s[8]], m[s[9]])
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, m[s[10]], m[s[11]])
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, m[s[12]], m[s[13]])
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, m[s[14]], m[s[15]])
    h[0] ^= v0 ^ v8
    h[1] ^= v1 ^ v9
    h[2] ^= v2 ^ v10
    h[3] ^= v3 ^ v11
    h[4] ^= v4 ^ v12
    h[5] ^= v5 ^ v13
    h[6] ^= v6 ^ v14
    h[7] ^= v7 ^ v15


@inlined
def _digest(text: Bytes, begin: int, end: int, h: Digests, message: Digests) -> Any:  # noqa: ANN401 - a number of numba's
    for i in range(8):
        h[i] = _IV[i]
    h[0] ^= _PARAMETERS
    block = message.view(np.uint8)
    at = begin
    while True:
        size = min(_BLOCK, end - at)
        message[:] = 0
        block[:size] = text[at : at + size]
        at += size
        _compress(h, message, at - begin, at == end)
        if at == end:
            return h[0]


@kernel(void, readable(uint8), writable(uint64))
def _hash_each(text: Bytes, digests: Digests) -> None:
    h, message = np.empty(8, np.uint64), np.empty(16, np.uint64)
    begin = 0
    for number in range(len(digests)):
        end = begin
        while text[end] != SEPARATOR[0]:
            end += 1
        digests[number] = _digest(text, begin, end, h, message)
        begin = end + 1
