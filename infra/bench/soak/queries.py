"""Queries for a soak: as many distinct ones as a day of searches needs, out of the words of the corpus.

Every other one is a passage as it stands in a document, which `native` finds and has to read for; the rest are three
words from anywhere, of which there are many. A query is made from its number, so nothing is kept.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from infra.bench.errors import BenchFailed

_WORD: Final = re.compile(r"[^\W\d_]{3,24}")
_PASSAGE: Final = re.compile(r"[^\W\d_]{3,24}(?: [^\W\d_]{3,24}){1,3}")
_MOST_WORDS: Final = 20_000
_MOST_PASSAGES: Final = 200_000
_LEAST_WORDS: Final = 10
_STEP: Final = 2_654_435_761
"""Prime, and near the golden ratio of 2^32: numbers that follow each other lead to places far apart (Knuth, 6.4)."""


class _Text(msgspec.Struct, frozen=True):
    body: str


class Queries:
    """Distinct queries, by number.

    Args:
        texts: to take words and passages from.

    Raises:
        BenchFailed: the texts hold too few words.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        words: dict[str, None] = {}
        passages: dict[str, None] = {}
        for text in texts:
            if len(words) < _MOST_WORDS:
                words |= dict.fromkeys(word.lower() for word in _WORD.findall(text))
            if len(passages) < _MOST_PASSAGES:
                passages |= dict.fromkeys(_PASSAGE.findall(text))
        if len(words) < _LEAST_WORDS or not passages:
            raise BenchFailed("the corpus holds too few words to search for")
        self._words = list(words)
        self._passages = list(passages)

    def __getitem__(self, number: int) -> str:
        """A query; words are not repeated before as many others as there are triples of words."""
        half, odd = divmod(number, 2)
        return self._triple(half) if odd else _at(self._passages, half)

    def cached(self, number: int) -> str:
        """One of a few, whose vector every worker has after some seconds."""
        return self[number % _FEW]

    def _triple(self, number: int) -> str:
        size = len(self._words)
        place = (number + 1) * _STEP % size**3
        return " ".join(self._words[place // size**power % size] for power in range(3))


_FEW: Final = 50


def _at(things: Sequence[str], number: int) -> str:
    return things[number * _STEP % len(things)]


def corpus_texts(corpus: Path) -> Iterator[str]:
    """The bodies of a corpus.

    Args:
        corpus: NDJSON of documents.
    """
    with corpus.open("rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line, type=_Text).body
