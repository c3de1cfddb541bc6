"""Numbers in place of terms, for an index to count: each distinct run of a segment's text is analysed only once."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.analysis.analyzer import Analyzer
from indexer.analysis.ascii_words import ascii_words
from indexer.analysis.run_table import RunTable

Numbers = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]


class Vocabulary(NamedTuple):
    """What runs give, by their numbers.

    Attributes:
        terms: by number; a term may have several, and an empty one stands for a word that gives none.
        numbers: of the terms of each run, one run after another, uint32.
        starts: where those of each run begin, and the end of the last, shape (runs + 1,), int64.
    """

    terms: list[str]
    numbers: Numbers
    starts: Places


class TermInterner:
    """Gives each distinct run a number, from 0 on, and then tells the terms of them all.

    All is analysed at once in the end, since most runs of source code are rare: what is done for one of them at a
    time takes longer than to read the text. It keeps every distinct run that it has seen, so it should live no longer
    than the build of one segment.

    Args:
        analyzer: makes the terms.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._runs = RunTable()

    def runs(self, text: str) -> Numbers:
        """The numbers of a text's runs, in order: their terms are what `Analyzer.terms` gives; uint32."""
        return self._runs.numbers(text.encode(errors="replace"))  # a lone surrogate separates words as ? does

    def vocabulary(self) -> Vocabulary:
        """The terms of all runs so far."""
        data, starts = self._runs.data, self._runs.starts
        text, ends, foreign = ascii_words(data, starts)
        words = RunTable()
        numbers = words.numbers(text.tobytes())
        terms = [*self._analyzer.ascii_words(_spelt_out(words))]
        lengths = np.diff(ends, prepend=0)
        for run in foreign.tolist():
            given = self._analyzer.terms(data[starts[run] : starts[run + 1]].tobytes().decode())
            lengths[run] = len(given)
            terms += given
        more = np.arange(words.count, len(terms), dtype=np.uint32)
        numbers = np.insert(numbers, np.repeat(ends[foreign], lengths[foreign]), more)
        return Vocabulary(terms, numbers, np.concatenate([[0], np.cumsum(lengths)]))


def _spelt_out(words: RunTable) -> list[str]:
    """The words of a table, which are ASCII."""
    text = words.data[: words.starts[-1]].tobytes().decode("ascii")
    return [text[start:end] for start, end in pairwise(words.starts.tolist())]
