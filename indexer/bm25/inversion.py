"""The kernel that turns documents of terms into posting lists of documents, in linear time."""

import numpy as np
import numpy.typing as npt

from indexer.compiled import int64, kernel, readable, signed, uint32, writable

Numbers = npt.NDArray[np.uint32]
Starts = npt.NDArray[np.int64]


@kernel(int64, readable(uint32), readable(int64), readable(int64), writable(int64), writable(uint32), writable(uint32))
def invert(
    terms: Numbers, document_starts: Starts, places: Starts, list_starts: Starts, ordinals: Numbers, counts: Numbers
) -> int:
    """Make the posting lists of some documents.

    Args:
        terms: numbers of the terms of all documents, one document after another, shape (tokens,), uint32.
        document_starts: where each document begins in them, and the end of the last, shape (documents + 1,), int64.
        places: which list each term's is, by its number, shape (terms,), int64.
        list_starts: takes where each list begins, and the end of the last, shape (terms + 1,), int64.
        ordinals: takes the documents of each posting, shape (tokens,), uint32.
        counts: takes how often each has the term, shape (tokens,), uint32.

    Returns:
        how many postings there are.
    """
    documents = len(document_starts) - 1
    seen = np.full(len(places), -1, np.int64)  # the last document that had the term
    list_starts[:] = 0
    for document in range(documents):
        for at in range(document_starts[document], document_starts[document + 1]):
            if seen[terms[at]] != document:
                seen[terms[at]] = document
                list_starts[places[terms[at]] + 1] += 1
    for each in range(len(places)):
        list_starts[each + 1] += list_starts[each]
    following = list_starts[:-1].copy()
    seen[:] = -1
    for document in range(documents):
        for at in range(document_starts[document], document_starts[document + 1]):
            place = places[terms[at]]
            if seen[terms[at]] != document:
                seen[terms[at]] = document
                ordinals[following[place]] = document
                counts[following[place]] = 0
                following[place] += 1
            counts[following[place] - 1] += np.uint32(1)
    return signed(list_starts[len(places)])
