"""Which analyzers there are: a stemmer with a list of stop words, and the name by which generations keep the two."""

import re
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

import Stemmer

from indexer.analysis.analyzer import Analyzer, drop_accents
from indexer.analysis.stop_words import ENGLISH
from streams.errors import SettingsError
from streams.settings import STEMMERS, STOP_WORDS

ANALYZERS: Final = ("english", "plain")
"""The analyzers with names of their own: English stemming and stop words, and neither."""

_ENGLISH: Final = "english"
_NONE: Final = "none"
_CHOICES: Final = dict(zip(ANALYZERS, ((_ENGLISH, _ENGLISH), (_NONE, _NONE)), strict=True))
_NAMES: Final = {choices: name for name, choices in _CHOICES.items()}
_OTHER: Final = re.compile("stemmer=([^,]*),stop_words=([^,]*)")
_WITHOUT_ACCENTS: Final = frozenset({_ENGLISH, "porter"})
"""Stemmers of languages that write none; the others' rules need them."""


def analyzer_name(stemmer: str, stop_words: str) -> str:
    """The name of an analyzer, `stemmer=german,stop_words=none` or one of `ANALYZERS`.

    Args:
        stemmer: a language of Snowball's, or `none`.
        stop_words: `english` or `none`.
    """
    return _NAMES.get((stemmer, stop_words), f"stemmer={stemmer},stop_words={stop_words}")


def get_analyzer(name: str) -> Analyzer:
    """The analyzer of that name, with an empty cache of its own.

    Raises:
        SettingsError: there is none.
    """
    stemmer, stop_words = _CHOICES.get(name) or _choices(name)
    if stemmer not in STEMMERS:
        raise SettingsError(f"stemmer: must be one of {', '.join(STEMMERS)}, got {stemmer!r}")
    if stop_words not in STOP_WORDS:
        raise SettingsError(f"stop_words: must be one of {', '.join(STOP_WORDS)}, got {stop_words!r}")
    left_out = ENGLISH if stop_words == _ENGLISH else frozenset[str]()
    return Analyzer(analyzer_name(stemmer, stop_words), _word(stemmer, left_out), _ascii_words(stemmer, left_out))


def _choices(name: str) -> tuple[str, str]:
    match = _OTHER.fullmatch(name)
    if match is None:
        choices = f"{', '.join(ANALYZERS)} or stemmer=<language>,stop_words=<language>"
        raise SettingsError(f"analyzer: must be one of {choices}, got {name!r}")
    return match[1], match[2]


def _word(stemmer: str, stop_words: frozenset[str]) -> Callable[[str], str]:
    """What makes the term of a case-folded word."""
    if stemmer == _NONE:
        return lambda word: "" if (bare := drop_accents(word)) in stop_words else bare
    stem = _stem(stemmer)
    if stemmer in _WITHOUT_ACCENTS:
        return lambda word: "" if (bare := drop_accents(word)) in stop_words else stem(bare)
    return lambda word: "" if drop_accents(word) in stop_words else drop_accents(stem(word))


def _ascii_words(stemmer: str, stop_words: frozenset[str]) -> Callable[[Sequence[str]], Sequence[str]]:
    """As `_word`, of many words that are ASCII and so have no accents."""
    stem = _stem_all(stemmer)

    def terms(words: Sequence[str]) -> Sequence[str]:
        return ["" if word in stop_words else term for word, term in zip(words, stem(words), strict=True)]

    return terms


def _stem_all(stemmer: str) -> Callable[[Sequence[str]], Sequence[str]]:
    """The stems of many words, without accents, which a stem may have where its word has none."""
    if stemmer == _NONE:
        return lambda words: words
    language, lock = Stemmer.Stemmer(stemmer, 0), Lock()

    def stems(words: Sequence[str]) -> Sequence[str]:
        with lock:
            given: list[str] = language.stemWords(words)
        return given if "".join(given).isascii() else [drop_accents(stem) for stem in given]

    return stems


def _stem(language: str) -> Callable[[str], str]:
    stemmer = Stemmer.Stemmer(language, 0)
    lock = Lock()  # a Snowball stemmer keeps the word that it works on

    def stem(word: str) -> str:
        with lock:
            stemmed: str = stemmer.stemWord(word)
        return stemmed

    return stem
