"""The kernels that turn documents of runs into posting lists of documents, in linear time.

A document is its runs, by number, and a run is its terms, by the places of their lists, which are seldom more than one;
so nobody writes down all terms of all documents first, but the distinct ones of each only.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.compiled import int32, int64, kernel, readable, record, signed, uint32, void, writable

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


class Forward(NamedTuple):
    """The distinct terms of documents, one document after another.

    Attributes:
        terms: which list each belongs to, shape (terms,), int32.
        counts: how often its document has each, shape (terms,), uint32.
        ends: where the terms of each document end, shape (documents,), int64.
    """

    terms: npt.NDArray[np.int32]
    counts: Numbers
    ends: Starts


def invert(runs: Runs, lists: int) -> Inverted:
    """Make the posting lists of documents."""
    documents, most = len(runs.document_starts) - 1, int(np.diff(runs.run_starts)[runs.runs].sum())
    forward = Forward(np.empty(most, np.int32), np.empty(most, np.uint32), np.empty(documents, np.int64))
    lengths, list_starts = np.empty(documents, np.uint32), np.zeros(lists + 1, np.int64)
    _count(runs, forward, list_starts, lengths)
    postings = np.empty((2, int(list_starts[-1])), np.uint32)
    _fill(forward, list_starts, postings[0], postings[1])
    return Inverted(list_starts, postings, lengths)


_RUNS: Final = record(Runs, writable(uint32), writable(int64), writable(int32), writable(int64))
_FORWARD: Final = record(Forward, writable(int32), writable(uint32), writable(int64))


@kernel(void, _RUNS, _FORWARD, writable(int64), writable(uint32))
def _count(runs: Runs, forward: Forward, list_starts: Starts, lengths: Numbers) -> None:
    """Count the terms of each document, and find out where the lists begin, of zeros, and how long documents are."""
    latest = np.full(len(list_starts) - 1, -1, np.int64)  # place of each term in the last document that had it
    first = at = signed(0)
    for document in range(len(lengths)):
        length = 0
        for number in range(runs.document_starts[document], runs.document_starts[document + 1]):
            begin, end = runs.run_starts[runs.runs[number]], runs.run_starts[runs.runs[number] + 1]
            length += end - begin
            for place in range(begin, end):
                term = runs.terms[place]
                if latest[term] >= first:
                    forward.counts[latest[term]] += np.uint32(1)
                    continue
                latest[term] = at
                forward.terms[at], forward.counts[at] = term, np.uint32(1)
                list_starts[term + 1] += 1
                at += 1
        lengths[document] = length
        forward.ends[document] = first = at
    for each in range(len(latest)):
        list_starts[each + 1] += list_starts[each]


@kernel(void, _FORWARD, readable(int64), writable(uint32), writable(uint32))
def _fill(forward: Forward, list_starts: Starts, ordinals: Numbers, counts: Numbers) -> None:
    """Write the postings, in order of document within each list."""
    following = list_starts[:-1].copy()
    at = signed(0)
    for document in range(len(forward.ends)):
        while at < forward.ends[document]:
            place = following[forward.terms[at]]
            ordinals[place], counts[place] = document, forward.counts[at]
            following[forward.terms[at]] = place + 1
            at += 1
