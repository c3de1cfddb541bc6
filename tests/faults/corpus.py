"""Documents and questions about them, the same in every run."""

import json
import random
from collections.abc import Iterable
from typing import Final

DOCUMENTS: Final = 100
_WORDS_A_DOCUMENT: Final = 15

_random = random.Random(20)
_SYLLABLES: Final = [consonant + vowel for consonant in "bdfgklmnprstv" for vowel in "aeiou"]
WORDS: Final = sorted({"".join(_random.choices(_SYLLABLES, k=3)) for _ in range(400)})
_LIKELIHOODS: Final = [1 / (rank + 10) for rank in range(len(WORDS))]
"""As in any language: a few words are in most documents, most words are in few."""


def documents(first: int = 0, count: int = DOCUMENTS) -> list[dict[str, str]]:
    """So many documents; each one is always the same."""
    return [_document(number) for number in range(first, first + count)]


def ndjson(chosen: Iterable[dict[str, str]]) -> str:
    """Documents as they are published, a line each."""
    return "".join(json.dumps(document) + "\n" for document in chosen)


def searches(count: int, *, seed: int = 1, **request: object) -> list[str]:
    """So many different searches that every method has hits for; with the same seed, the same."""
    dice = random.Random(seed)
    words = dice.sample(WORDS, k=count)
    return [json.dumps({"query": word, **request}) for word in words]


def new_searches(count: int) -> list[str]:
    """Searches that nobody has asked before, so that no cache has their vectors."""
    dice = random.SystemRandom()
    return [json.dumps({"query": " ".join(dice.choices(WORDS, k=4))}) for _ in range(count)]


def _document(number: int) -> dict[str, str]:
    words = random.Random(number).choices(WORDS, _LIKELIHOODS, k=_WORDS_A_DOCUMENT)
    return {"id": f"doc/{number}", "title": f"Document {number}", "body": " ".join(words)}
