"""What the terms of a text are, and where they stand."""

import pytest
from hypothesis import given

from indexer.analysis import ANALYZERS, get_analyzer
from tests.indexer.analysis.texts import MIXED


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("circuit breaker", ["circuit", "breaker"]),
        ("getHTTPResponse_code2", ["gethttpresponse_code2", "get", "http", "response", "code", "2"]),
        ("XMLHttpRequest", ["xmlhttprequest", "xml", "http", "request"]),
        ("snake_case", ["snake_case", "snake", "case"]),
        ("__init__", ["init"]),
        ("_private_name", ["private_name", "private", "name"]),
        ("utf8", ["utf8", "utf", "8"]),
        ("URLs", ["urls"]),
        ("0xC0FFEE", ["0xc0ffee"]),
        ("os.path.join", ["os", "path", "join"]),
        ("Café CAFE\u0301 ｃａｆé", ["cafe", "cafe", "cafe"]),
        ("Straße ﬁne ΣΊΣΥΦΟΣ", ["strasse", "fine", "σισυφοσ"]),
        ("हिन्दी", ["हिन्दी"]),
        ("東京都に", ["東京", "京都", "都に"]),
        ("日 한국어", ["日", "한국", "국어"]),
        ("Python3で書く", ["python3", "python", "3", "で書", "書く"]),
        ("___ -- !", []),
        ("", []),
    ],
)
def test_plain_terms(text: str, terms: list[str]) -> None:
    """Words, identifiers with their parts, folded spelling, and pairs of CJK characters."""
    assert get_analyzer("plain").terms(text) == terms


def test_english_stems_and_leaves_out_stop_words() -> None:
    """Forms of a word meet, an identifier's too, and words that carry no meaning are left out."""
    analyzer = get_analyzer("english")
    assert analyzer.terms("The breakers aren't breaking") == ["breaker", "break"]
    assert analyzer.terms("is_breaking") == ["is_break", "break"]
    assert analyzer.terms("openBreakers")[0] == analyzer.terms("openbreakers")[0] == "openbreak"
    assert analyzer.terms("to be or not to be") == []


def test_tokens_know_their_places() -> None:
    """A token's offsets cut out of the text what gave the term."""
    text = "a Cafe\u0301 openHTTPServer 東京都"
    tokens = [(token.term, text[token.start : token.end]) for token in get_analyzer("plain").tokens(text)]
    assert tokens == [
        ("a", "a"),
        ("cafe", "Cafe\u0301"),
        ("openhttpserver", "openHTTPServer"),
        ("open", "open"),
        ("http", "HTTP"),
        ("server", "Server"),
        ("東京", "東京"),
        ("京都", "京都"),
    ]


@pytest.mark.parametrize("name", ANALYZERS)
@given(text=MIXED)
def test_terms_are_those_of_the_tokens(name: str, text: str) -> None:
    """Both ways to ask agree on any text, and every offset lies in the text."""
    analyzer = get_analyzer(name)
    tokens = list(analyzer.tokens(text))
    assert analyzer.terms(text) == [token.term for token in tokens]
    assert all(0 <= token.start < token.end <= len(text) and token.term for token in tokens)


@given(text=MIXED)
def test_terms_do_not_depend_on_what_was_seen_before(text: str) -> None:
    """An analyzer that has worked on a text gives it the same terms again."""
    analyzer = get_analyzer("english")
    assert analyzer.terms(text) == analyzer.terms(text) == get_analyzer("english").terms(text)


def test_data_is_no_language() -> None:
    """A run without end, as encoded data has, gives no terms; CJK text has no spaces and does."""
    analyzer = get_analyzer("plain")
    assert analyzer.terms("aGVsbG8" * 100) == analyzer.terms("a" * 1_000) == []
    assert len(analyzer.terms("日本" * 500)) == 999


def test_memory_is_bounded() -> None:
    """However many distinct words come by, what is remembered of them does not grow without end."""
    analyzer = get_analyzer("plain")
    for start in range(0, 150_000, 10_000):
        analyzer.terms(" ".join(f"w{number}" for number in range(start, start + 10_000)))
    assert len(analyzer._terms) <= 65_536
