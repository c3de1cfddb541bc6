"""Queries of words for the comparison of BM25 engines: 1 to 5 words of one document, rare and common ones mixed.

Words that stand together in a document are what people ask for together, and make no query empty.
"""

import re
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

from indexer.analysis import Analyzer
from infra.bench.errors import BenchFailed

LONGEST_QUERY: Final = 5

_WORD: Final = re.compile(r"\b[^\W\d]\w{1,39}\b")
_RARE_SHARE: Final = 0.002
_MEDIUM_SHARE: Final = 0.05
_ATTEMPTS: Final = 20

_Bands = list[list[str]]


def word_queries(texts: Sequence[str], analyzer: Analyzer, count: int, *, seed: int) -> list[str]:
    """Draw queries, the same ones for the same texts and seed.

    Args:
        texts: documents to draw from.
        analyzer: of the engine; a word that gives it no term, such as a stop word, is not drawn.
        count: how many distinct queries; fewer where the texts do not hold as many.
        seed: of the choice.

    Raises:
        BenchFailed: the texts hold no words.
    """
    random = Random(seed)  # noqa: S311 - a repeatable choice, no secret
    bands = [each for each in _banded(texts, analyzer) if any(each)]
    if not bands:
        raise BenchFailed("the texts hold no words to search for")
    queries: dict[str, None] = {}
    for attempt in range(_ATTEMPTS * count):
        if len(queries) == count:
            break
        words = _draw(random.choice(bands), 1 + attempt % LONGEST_QUERY, random)
        queries.setdefault(" ".join(words))
    return list(queries)


def _draw(bands: _Bands, length: int, random: Random) -> list[str]:
    filled = [band for band in bands if band]
    return list(dict.fromkeys(random.choice(random.choice(filled)) for _ in range(length)))


def _banded(texts: Sequence[str], analyzer: Analyzer) -> list[_Bands]:
    """The words of each text: its rare ones, its medium ones, its common ones."""
    words = [[word for word in dict.fromkeys(_WORD.findall(text)) if analyzer.terms(word)] for text in texts]
    frequencies = Counter(word for each in words for word in each)
    bounds = (max(1, _RARE_SHARE * len(texts)), max(2, _MEDIUM_SHARE * len(texts)))
    return [_by_band(each, frequencies, bounds) for each in words]


def _by_band(words: Sequence[str], frequencies: Counter[str], bounds: tuple[float, float]) -> _Bands:
    bands: _Bands = [[], [], []]
    for word in words:
        bands[sum(frequencies[word] > bound for bound in bounds)].append(word)
    return bands
