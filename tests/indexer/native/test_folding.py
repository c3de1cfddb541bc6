"""The index folds case exactly as RE2 ignores it."""

import sys

import re2

from indexer.native.folding import FOLDED, fold_text


def test_folding_is_that_of_the_installed_re2() -> None:
    """Two characters fold to the same one if and only if RE2, ignoring case, takes one for the other.

    Every character with case in this Python's Unicode, and every one in the table, is held against all of them. A new
    RE2 that knows more of them turns this red: then the table, and the format version, must follow.
    """
    codes = {code for code in range(sys.maxunicode + 1) if _has_case(chr(code))} | FOLDED.keys() | set(FOLDED.values())
    everything = "".join(map(chr, sorted(codes)))
    by_fold: dict[str, set[str]] = {}
    for character in everything:
        by_fold.setdefault(chr(FOLDED.get(ord(character), ord(character))), set()).add(character)
    options = re2.Options()
    options.case_sensitive = False
    options.literal = True
    for orbit in by_fold.values():
        assert {match.group() for match in re2.compile(min(orbit), options).finditer(everything)} == orbit


def test_folding_is_stable() -> None:
    """Folding what is folded changes nothing."""
    assert not set(FOLDED.values()) & FOLDED.keys()


def test_folds_text() -> None:
    """ASCII and other text fold alike, with the Kelvin sign and the long s to ASCII letters."""
    assert fold_text("Kelvin ABC") == b"kelvin abc"
    assert fold_text("\u212aelvin ABC ſ É") == "kelvin abc s é".encode()


def _has_case(character: str) -> bool:
    forms = (character.lower(), character.upper(), character.title(), character.casefold())
    return any(form != character for form in forms)
