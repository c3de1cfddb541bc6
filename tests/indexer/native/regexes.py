"""Random patterns: regexes that Python and RE2 read alike, and random strings of syntax."""

from hypothesis import strategies as st

LETTERS = "abcABkK1_é"
TEXTS = st.text(alphabet=LETTERS + "ßſ\u212a \n", max_size=60)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.builds("(?:{})".format, inner)
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({}|{}|)".format, inner, inner),
        st.builds("{}{}".format, groups, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{1,3}", "+?"])),
    )


_WORDS = st.text(alphabet=LETTERS + " ", min_size=1, max_size=5)
_CLASSES = st.builds("[{}]".format, st.text(alphabet=LETTERS, min_size=1, max_size=4))
_NEGATED = st.builds("[^{}\n]".format, st.text(alphabet=LETTERS, min_size=1, max_size=4))
_OTHERS = st.sampled_from([".", "^", "$", "[a-c]", "[0-9]", "\\d", "\\w", "\\x61", "\\.", "[ab-]"])

AGREED_REGEXES = st.recursive(st.one_of(_WORDS, _WORDS, _CLASSES, _NEGATED, _OTHERS), _combined, max_leaves=8)
"""Regexes of the syntax on which Python's `re` (with ASCII classes) and RE2 agree; no match leaves its line."""

# fmt: off - by kind: text, repeats, groups, classes, escapes, the rest
_PIECES = st.sampled_from(
    [
        "abc",
        "ab",
        "k",
        "ſ",
        "1",
        "é",
        " ",
        "\n",
        "*",
        "+",
        "?",
        "{2}",
        "{0}",
        "{,2}",
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?i:",
        "(?-s)",
        "(?P<n>",
        "|",
        "[",
        "]",
        "[^",
        "[]a]",
        "[a-",
        "-",
        "[[:alpha:]",
        "\\d",
        "\\Q",
        "\\E",
        "\\Qab\\E",
        "\\x61",
        "\\x{62}",
        "\\141",
        "\\pL",
        "\\p{Greek}",
        "\\C",
        "\\n",
        "\\",
        "\\.",
        "\\-",
        "^",
        "$",
        ".",
        "\\b",
        "\\A",
        "\\z",
    ]
)
# fmt: on
ANY_REGEXES = st.lists(_PIECES, min_size=1, max_size=9).map("".join)
"""Random strings of regex syntax, many of which RE2 refuses."""
