"""The kernels that turn documents of runs into posting lists of documents, in linear time.

A document is its runs, by number, and a run is its terms, by the places of their lists, which are seldom more than one;
so nobody writes down the terms of all documents first.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.compiled import int32, int64, kernel, readable, record, uint32, void, writable

Numbers = npt.NDArray[np.uint32]
Starts = npt.NDArray[np.int64]


class Runs(NamedTuple):
    """Documents as runs of terms.

    Attributes:
        runs: numbers of the runs of all documents, one document after another, uint32.
        document_starts: where each document begins in them, and the end of the last, shape (documents + 1,), int64.
        terms: which list each term of a run belongs to, one run after another, int32.
        run_starts: where each run begins in them, and the end of the last, shape (runs + 1,), int64.
    """

    runs: Numbers
    document_starts: Starts
    terms: npt.NDArray[np.int32]
    run_starts: Starts


class Inverted(NamedTuple):
    """Posting lists.

    Attributes:
        list_starts: where each begins, and the end of the last, shape (lists + 1,), int64.
        postings: documents, and how often each has the term, shape (2, n), uint32.
        lengths: terms of each document, shape (documents,), uint32.
    """

    list_starts: Starts
    postings: Numbers
    lengths: Numbers


def invert(runs: Runs, lists: int) -> Inverted:
    """Make the posting lists of documents."""
    lengths, list_starts = np.empty(len(runs.document_starts) - 1, np.uint32), np.zeros(lists + 1, np.int64)
    _count(runs, list_starts, lengths)
    postings = np.empty((2, int(list_starts[-1])), np.uint32)
    _fill(runs, list_starts, postings[0], postings[1])
    return Inverted(list_starts, postings, lengths)


_RUNS: Final = record(Runs, writable(uint32), writable(int64), writable(int32), writable(int64))


@kernel(void, _RUNS, writable(int64), writable(uint32))
def _count(runs: Runs, list_starts: Starts, lengths: Numbers) -> None:
    """Find out where the lists begin, of zeros, and how many terms each document has."""
    seen = np.full(len(list_starts) - 1, -1, np.int32)  # the last document that had the term
    for document in range(len(lengths)):
        length = 0
        for at in range(runs.document_starts[document], runs.document_starts[document + 1]):
            begin, end = runs.run_starts[runs.runs[at]], runs.run_starts[runs.runs[at] + 1]
            length += end - begin
            for place in range(begin, end):
                term = runs.terms[place]
                if seen[term] != document:
                    seen[term] = document
                    list_starts[term + 1] += 1
        lengths[document] = length
    for each in range(len(seen)):
        list_starts[each + 1] += list_starts[each]


@kernel(void, _RUNS, readable(int64), writable(uint32), writable(uint32))
def _fill(runs: Runs, list_starts: Starts, ordinals: Numbers, counts: Numbers) -> None:
    """Write the postings, in order of document within each list."""
    following = list_starts[:-1].copy()
    seen = np.full(len(following), -1, np.int32)
    for document in range(len(runs.document_starts) - 1):
        for at in range(runs.document_starts[document], runs.document_starts[document + 1]):
            for place in range(runs.run_starts[runs.runs[at]], runs.run_starts[runs.runs[at] + 1]):
                term = runs.terms[place]
                if seen[term] != document:
                    seen[term] = document
                    ordinals[following[term]] = document
                    counts[following[term]] = 0
                    following[term] += 1
                counts[following[term] - 1] += np.uint32(1)
