"""Which stemmers and stop words an analyzer can have, and what it is called."""

import pytest
import Stemmer

from indexer.analysis import ANALYZERS, analyzer_name, get_analyzer
from streams.errors import SettingsError
from streams.settings import STEMMERS, STOP_WORDS


def test_two_analyzers_have_names_of_their_own() -> None:
    """Generations that were made before there was a choice keep their analyzer."""
    assert (analyzer_name("english", "english"), analyzer_name("none", "none")) == ANALYZERS


@pytest.mark.parametrize("stop_words", STOP_WORDS)
@pytest.mark.parametrize("stemmer", STEMMERS)
def test_a_name_says_it_all(stemmer: str, stop_words: str) -> None:
    """Every combination has an analyzer, found again by its name."""
    name = analyzer_name(stemmer, stop_words)
    assert get_analyzer(name).name == name
    assert get_analyzer(f"stemmer={stemmer},stop_words={stop_words}").name == name


@pytest.mark.parametrize(
    ("stemmer", "stop_words", "terms"),
    [
        ("english", "none", ["the", "hous"]),
        ("none", "english", ["houses"]),
        ("german", "none", ["the", "hous"]),
        ("none", "none", ["the", "houses"]),
    ],
)
def test_stemming_and_stop_words_are_chosen_apart(stemmer: str, stop_words: str, terms: list[str]) -> None:
    """One can be had without the other."""
    assert get_analyzer(analyzer_name(stemmer, stop_words)).terms("The houses") == terms


@pytest.mark.parametrize(
    ("stemmer", "words", "term"),
    [
        ("german", "Häuser HÄUSERN Hause", "haus"),
        ("russian", "красный красная Красное", "красн"),
        ("french", "écoutées écouter Écoute", "ecout"),
    ],
)
def test_stemmers_see_the_accents_of_their_language(stemmer: str, words: str, term: str) -> None:
    """Snowball's rules name letters with accents, which are dropped only behind them."""
    assert set(get_analyzer(analyzer_name(stemmer, "none")).terms(words)) == {term}


def test_the_languages_are_those_that_can_be_stemmed() -> None:
    """A setting that is accepted works."""
    assert set(STEMMERS) == {"none", *Stemmer.algorithms()}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("klingon", "^analyzer: must be one of english, plain or stemmer=.*'klingon'"),
        ("stemmer=klingon,stop_words=none", "^stemmer: must be one of none, arabic, .*'klingon'"),
        ("stemmer=german,stop_words=german", "^stop_words: must be one of none, english, got 'german'"),
        ("stemmer=german", "^analyzer: "),
        ("", "^analyzer: "),
    ],
)
def test_a_wrong_name_is_refused(name: str, message: str) -> None:
    """The message says what is wrong and what there is."""
    with pytest.raises(SettingsError, match=message):
        get_analyzer(name)


@pytest.mark.parametrize("stop_words", STOP_WORDS)
@pytest.mark.parametrize("stemmer", STEMMERS)
def test_words_have_the_same_terms_alone_and_together(stemmer: str, stop_words: str) -> None:
    """What indexing makes of many words at once is what a search makes of each."""
    analyzer = get_analyzer(analyzer_name(stemmer, stop_words))
    words = [
        "the",
        "houses",
        "running",
        "with",
        "x",
        "gethttpresponse_code2",
        "2",
        "house",
        "kitaplar",
        "nationalement",
    ]
    assert [*analyzer.ascii_words(words)] == [analyzer.word(word) for word in words]
    assert [*analyzer.ascii_words([])] == []
