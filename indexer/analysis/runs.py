r"""Where words are in a text, and where the parts are in a word.

A run is the longest stretch of letters, digits, underscores and combining marks. Python's `\w` leaves the marks out,
which would cut words of most Indian scripts, and decomposed accents, in two.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

CJK: Final = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3040-\u30ff\u3130-\u318f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff"
)
"""Han, Hiragana, Katakana, Bopomofo and Hangul: scripts whose words are indexed as pairs of characters."""

_ASCII_RUN: Final = re.compile(r"\w+", re.ASCII)
_SCRIPTS: Final = re.compile(f"(?P<cjk>[{CJK}]+)|[^{CJK}]+")
_MARKS: Final = range(0x300, 0x1F000)
_VARIATION_SELECTORS: Final = "\U000e0100-\U000e01ef"
"""The only marks of Unicode beyond `_MARKS`."""

_PART: Final = re.compile(
    r"""
      (?<![0-9A-Za-z])0[xX][0-9A-Fa-f]+(?![0-9A-Za-z])  # 0xC0FFEE is one number
    | [0-9]+                      # HTTP2 -> HTTP, 2
    | [A-Z]{2,}s(?![a-z])         # URLs is one word
    | [A-Z]+(?![a-z])             # HTTPServer -> HTTP, Server
    | [A-Z]?[a-z]+                # camelCase -> camel, Case
    """,
    re.VERBOSE,
)


def run_pattern(text: str) -> re.Pattern[str]:
    """What finds the runs of a text."""
    return _ASCII_RUN if text.isascii() else _unicode_run()


def scripts(run: str) -> list[tuple[int, int, bool]]:
    """A run cut where CJK begins and ends, as (start, end, whether it is CJK)."""
    return [(m.start(), m.end(), m.lastgroup == "cjk") for m in _SCRIPTS.finditer(run)]


def parts(run: str) -> list[tuple[int, int]]:
    """The parts of an identifier, cut at underscores, digits and changes of case, as (start, end)."""
    if run.isascii():
        return [m.span() for m in _PART.finditer(run)]
    kinds = ""
    for character in run:
        kinds += kinds[-1:] if unicodedata.combining(character) else _kind(character)
    kinds = kinds.rjust(len(run), "a")  # a run that begins with marks has no kind to go on with
    return [m.span() for m in _PART.finditer(kinds)]


def _kind(character: str) -> str:
    """A stand-in that `_PART` understands; a letter without case counts as lower-case."""
    if character == "_":
        return "_"
    if character.isdigit():
        return "0"
    return "A" if character.isupper() else "a"


@lru_cache(maxsize=1)
def _unicode_run() -> re.Pattern[str]:
    marks = [code for code in _MARKS if unicodedata.category(chr(code))[0] == "M"]
    ranges: list[list[int]] = []
    for code in marks:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    members = "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
    return re.compile(f"[\\w{members}{_VARIATION_SELECTORS}]+")
