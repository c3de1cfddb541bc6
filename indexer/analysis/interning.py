"""Numbers in place of terms, for an index to count: each distinct run of a segment's text is analysed only once."""

from array import array
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.analysis.analyzer import Analyzer
from indexer.analysis.ascii_words import ascii_words
from indexer.analysis.run_table import RunTable
from indexer.compiled import int64, kernel, readable, uint32, writable

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

_NO_TERM: Final = 0xFFFF_FFFF
"""In place of the term of a stop word."""


class TermInterner:
    """Gives each distinct term a number, from 0 on.

    It keeps every distinct run that it has seen, so it should live no longer than the build of one segment.

    Args:
        analyzer: makes the terms.

    Attributes:
        terms: the terms by their numbers.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self.terms: list[str] = []
        self._analyzer = analyzer
        self._runs = RunTable()
        self._by_term: dict[str, int] = {}
        self._by_word = _NumbersOfWords(self._number_of)
        self._expansions = array("I")
        self._expansion_starts = array("q", [0])

    def numbers(self, text: str) -> Numbers:
        """The numbers of what `Analyzer.terms` gives, in order, shape (terms,), uint32."""
        runs = self._runs.numbers(text.encode(errors="replace"))  # a lone surrogate separates words as ? does
        starts = self._runs.starts_since(len(self._expansion_starts) - 1)
        if len(starts) > 1:
            self._learn(self._runs.data, starts)
        starts = np.frombuffer(self._expansion_starts, np.int64)
        terms = np.frombuffer(self._expansions, np.uint32)
        numbers = np.empty(_longest_expansion(runs, starts) + 1, np.uint32)  # one more to try a word without a term on
        return numbers[: _expand(runs, starts, terms, numbers)]

    def _learn(self, data: Bytes, starts: Places) -> None:
        """Keep what runs give that were not seen before."""
        words, ends, foreign = ascii_words(data, starts)
        numbers = list(map(self._by_word.__getitem__, words))
        lengths = np.diff(ends, prepend=0)
        done = 0
        for run in foreign.tolist():
            self._expansions.extend(numbers[done : ends[run]])
            done = int(ends[run])
            text = data[starts[run] : starts[run + 1]].tobytes().decode()
            terms = self._analyzer.terms(text)
            self._expansions.extend(map(self._number, terms))
            lengths[run] = len(terms)
        self._expansions.extend(numbers[done:])
        self._expansion_starts.frombytes((np.cumsum(lengths) + self._expansion_starts[-1]).tobytes())

    def _number_of(self, word: str) -> int:
        term = self._analyzer.word(word)
        return self._number(term) if term else _NO_TERM

    def _number(self, term: str) -> int:
        number = self._by_term.setdefault(term, len(self.terms))
        if number == len(self.terms):
            self.terms.append(term)
        return number


class _NumbersOfWords(dict[str, int]):
    """The numbers of the terms of words, each of which is stemmed once."""

    def __init__(self, compute: Callable[[str], int]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, word: str) -> int:
        self[word] = number = self._compute(word)
        return number


@kernel(int64, readable(uint32), readable(int64))
def _longest_expansion(runs: Numbers, starts: Places) -> int:
    length = 0
    for run in runs:
        length += starts[run + 1] - starts[run]
    return length


@kernel(int64, readable(uint32), readable(int64), readable(uint32), writable(uint32))
def _expand(runs: Numbers, starts: Places, terms: Numbers, expanded: Numbers) -> int:
    """Put the terms of runs one after another.

    Args:
        runs: by number, uint32.
        starts: where the words of each run begin, and the end of the last, int64.
        terms: of the words of all runs, `_NO_TERM` for some, uint32.
        expanded: takes the terms, uint32.

    Returns:
        how many terms there are.
    """
    count = 0
    for run in runs:
        for place in range(starts[run], starts[run + 1]):
            expanded[count] = terms[place]
            count += terms[place] != _NO_TERM
    return count
