"""The keys of posting lists: the 64-bit BLAKE2b of each term.

Keys of one width make lookups, merges and counts plain numpy operations, and a bag-of-words query never needs the
spelling of a term that it does not have itself. Two terms with the same hash would count as one: among ten million
terms the chance that any two do is 3 in a million.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.bm25.blake2b import SEPARATOR, blake2b_each
from indexer.memo import Memo

KEY_BYTES: Final = 8

_BETWEEN: Final = SEPARATOR.decode()

Keys = npt.NDArray[np.uint64]


def term_keys(terms: Iterable[str]) -> Keys:
    """The keys of the terms of a query, shape (terms,), uint64."""
    return np.frombuffer(encoded_keys(terms), "<u8").astype(np.uint64, copy=False)


def encoded_keys(terms: Iterable[str]) -> bytes:
    """As `term_keys`, in `KEY_BYTES` each."""
    return b"".join(map(_digests.__getitem__, terms))


def keys_of_all(terms: Sequence[str]) -> Keys:
    """The keys of the terms of a segment, shape (terms,), uint64; an empty one has a key, too.

    Raises:
        ValueError: a term has a line break, which no analyzer leaves in one.
    """
    return blake2b_each((_BETWEEN.join(terms) + _BETWEEN).encode() if terms else b"", len(terms))


def _digest(term: str) -> bytes:
    return blake2b(term.encode(), digest_size=KEY_BYTES).digest()


_digests: Final = Memo(_digest)
