r"""What a query to the native method means: a literal with smart case, or `/regex/flags` in RE2 syntax.

A literal matches in any case unless it holds an upper-case letter; same letters are those that RE2 takes for the same.
A regex is line-oriented, as grep's: `^` and `$` match at lines, and no match reaches beyond its line, whether by `.`,
`\s` or `[^x]`. The flag `i` ignores case; `s` lets `.` and classes match newlines too. RE2 takes time linear in the
text, whatever the pattern.
"""

import re
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import re2

from indexer.errors import InvalidQuery
from indexer.native.plan import Plan, plan_literal, plan_regex

MAX_REGEX_CHARACTERS: Final = 1_024
MAX_LITERAL_CHARACTERS: Final = 4_096
REGEX_MEMORY_BYTES: Final = 8 * 1024 * 1024
"""For one compiled regex and its states; one that needs more to compile is refused."""

MAX_PROGRAM_INSTRUCTIONS: Final = 10_000
"""Of a compiled regex: RE2's time is linear in the text, but the factor is up to the size of its program."""

_REGEX: Final = re.compile(r"/(.*)/([a-zA-Z]*)", re.DOTALL)
_FLAGS: Final = frozenset("is")
_COMPILED_PATTERNS: Final = 16
_EMPTY_MATCHES_PER_SPAN: Final = 64


class Pattern:
    """A compiled query; safe for any number of threads. Get one from `compile_pattern`.

    Attributes:
        plan: the trigrams that a matching text must hold.
        detail: what the client should know about how the query was read; usually empty.
    """

    def __init__(self, regex: Any, plan: Plan, *, detail: str = "") -> None:  # noqa: ANN401 - re2 has no types
        self._regex = regex
        self.plan = plan
        self.detail = detail

    def spans(self, text: str, limit: int) -> list[tuple[int, int]]:
        """The first matches that are not empty, at most `limit`, as (start, end) in characters of `text`."""
        matches = islice(self._regex.finditer(text), limit * _EMPTY_MATCHES_PER_SPAN)
        spans = (match.span() for match in matches)
        return list(islice((span for span in spans if span[0] < span[1]), limit))

    def byte_spans(self, text: memoryview, limit: int) -> list[tuple[int, int]]:
        """The first matches, empty ones too, at most `limit`, as (start, end) in bytes of the UTF-8 `text`."""
        return [match.span() for match in islice(self._regex.finditer(text), limit)]


@lru_cache(maxsize=_COMPILED_PATTERNS)
def compile_pattern(text: str) -> Pattern:
    """Read a query.

    Args:
        text: the query as the user wrote it. What begins and ends with a slash is a regex, also with flags behind the
            second one; `/usr/bin` is a literal, since `bin` are no flags.

    Raises:
        InvalidQuery: it is no valid regex, empty, or too long.
    """
    enclosed = _REGEX.fullmatch(text)
    if enclosed and _FLAGS.issuperset(enclosed[2]):
        return _compile_regex(enclosed[1], enclosed[2])
    detail = f"searched as a literal: {enclosed[2]!r} are not flags of a regex (i, s)" if enclosed else ""
    return _compile_literal(text, detail)


def _compile_literal(text: str, detail: str) -> Pattern:
    if not 1 <= len(text) <= MAX_LITERAL_CHARACTERS:
        raise InvalidQuery(f"query: a literal must have 1 to {MAX_LITERAL_CHARACTERS} characters, got {len(text)}")
    options = _options()
    options.literal = True
    options.case_sensitive = any(character.isupper() for character in text)
    return Pattern(_compile(text, options), plan_literal(text), detail=detail)


def _compile_regex(regex: str, flags: str) -> Pattern:
    if not regex:
        raise InvalidQuery("query: the regex between the slashes is empty")
    if len(regex) > MAX_REGEX_CHARACTERS:
        raise InvalidQuery(f"query: a regex must have at most {MAX_REGEX_CHARACTERS} characters, got {len(regex)}")
    options = _options()
    options.case_sensitive = "i" not in flags
    options.dot_nl = "s" in flags
    options.never_nl = "s" not in flags
    compiled = _compile(f"(?m){regex}", options)
    if compiled.programsize > MAX_PROGRAM_INSTRUCTIONS:
        raise InvalidQuery("query: the regex is too large once its repetitions and classes are written out")
    return Pattern(compiled, plan_regex(regex))


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # it would write the user's pattern to standard error
    options.max_mem = REGEX_MEMORY_BYTES
    options.never_capture = True
    return options


def _compile(pattern: str, options: re2.Options) -> Any:  # noqa: ANN401 - re2 has no types
    try:
        compiled = re2.compile(pattern, options)
    except UnicodeEncodeError as exc:
        raise InvalidQuery("query: contains a lone surrogate, which is not valid Unicode text") from exc
    except re2.error as exc:
        raise InvalidQuery(f"query: not a regex that RE2 can run: {_reason(exc)}") from exc
    re2.purge()  # the binding would keep 128 of them, with 8 MiB each; `compile_pattern` keeps few
    return compiled


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
