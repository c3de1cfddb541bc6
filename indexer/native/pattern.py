r"""What a query to the native method means: a literal with smart case, or `/regex/flags` in RE2 syntax.

A literal matches in any case unless it holds an upper-case letter; same letters are those that RE2 takes for the same.
A regex is line-oriented, as grep's: `^` and `$` match at lines, and no match reaches beyond its line, whether by `.`,
`\s` or `[^x]`. The flag `i` ignores case; `s` lets `.` and classes match newlines too; so does `\C`, which is any byte.
RE2 takes time linear in the text, whatever the pattern.
"""

import re
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, Final

import msgspec
import re2

from indexer.errors import InvalidQuery
from indexer.native.lines import LinePattern, compile_lines
from indexer.native.literal import Needle
from indexer.native.plan import Plan, plan_literal, plan_regex, required_literals
from indexer.native.windows import WindowedRegex

MAX_REGEX_CHARACTERS: Final = 1_024
MAX_LITERAL_CHARACTERS: Final = 4_096
REGEX_MEMORY_BYTES: Final = 8 * 1024 * 1024
"""For one compiled regex and its states; one that needs more to compile is refused."""

MAX_PROGRAM_INSTRUCTIONS: Final = 10_000
"""Of a compiled regex: RE2's time is linear in the text, but the factor is up to the size of its program."""

_REGEX: Final = re.compile(r"/(.*)/([a-zA-Z]*)", re.DOTALL)
_FLAGS: Final = frozenset("is")
_SEES_TEXT_EDGES: Final = re.compile(r"\\[Az]|\(\?[a-zA-Z]*-[a-zA-Z]*m")
"""Perhaps: `\\A`, `\\z`, and flags that turn off `m`."""

_COMPILED_PATTERNS: Final = 16
_EMPTY_MATCHES_PER_SPAN: Final = 64
_LITERAL_INSTRUCTIONS: Final = 64
"""That a byte of text costs at most in a literal, however long: RE2 is in few of its places at once."""


_NO_WORD: Final = r"[^\w\x{80}-\x{10FFFF}\n]"
"""A character that is no part of a word, by `indexer.native.tallies.in_word`."""


class Source(msgspec.Struct, frozen=True):
    """A query as a regex.

    Attributes:
        regex: as it was written, or a literal, escaped.
        options: of RE2.
        line_local: whether a match depends on nothing but the line that it is in.
        crosses_lines: whether a match may hold a newline.
    """

    regex: str
    options: Any
    line_local: bool
    crosses_lines: bool


class Pattern:
    """A compiled query; safe for any number of threads. Get one from `compile_pattern`.

    Args:
        compiled: by RE2.
        source: what was compiled, as a regex.
        regex: the same, for searching texts with a budget.
        plan: see the attribute.

    Attributes:
        regex: what finds the matches, in every case.
        plan: the trigrams that a matching text must hold.
        needle: when set, matches are its occurrences, in texts without foreign forms.
        required: literals that every match holds, in texts without foreign forms.
        line_local: whether a match depends on nothing but the line that it is in.
        ignoring_case: whether a pattern that is no needle takes letters in any case, and so for forms beyond ASCII too.
        detail: what the client should know about how the query was read; usually empty.
    """

    def __init__(
        self,
        compiled: Any,  # noqa: ANN401 - re2 has no types
        source: Source,
        regex: WindowedRegex,
        plan: Plan,
        *,
        needle: Needle | None = None,
        required: tuple[Needle, ...] = (),
        detail: str = "",
    ) -> None:
        self._compiled = compiled
        self.regex = regex
        self.plan = plan
        self.needle = needle
        self.required = required
        self.line_local = source.line_local
        self.ignoring_case = needle is None and not source.options.case_sensitive
        self.detail = detail
        self._source = source

    @cached_property
    def lines(self) -> LinePattern | None:
        """What finds the lines that match, in texts without foreign forms if case is ignored; None when RE2 has to."""
        return compile_lines(self._source.regex, ignoring_case=self.ignoring_case) if self.line_local else None

    @cached_property
    def whole_words(self) -> WindowedRegex | None:
        """What finds the matches that begin and end at word boundaries, and perhaps a byte around them.

        None when RE2 refuses what is so much longer than the pattern.
        """
        for closed in ("", r"\E"):  # a quotation may be open
            regex = rf"(?m)(?:^|{_NO_WORD})(?:{self._source.regex}{closed})(?:$|{_NO_WORD})"
            try:
                compiled = _compile(regex, self._source.options)
            except InvalidQuery:
                continue
            return WindowedRegex(compiled, compiled.programsize, crosses_lines=self._source.crosses_lines)
        return None

    def spans(self, text: str, limit: int) -> list[tuple[int, int]]:
        """The first matches that are not empty, at most `limit`, as (start, end) in characters of `text`."""
        matches = islice(self._compiled.finditer(text), limit * _EMPTY_MATCHES_PER_SPAN)
        spans = (match.span() for match in matches)
        return list(islice((span for span in spans if span[0] < span[1]), limit))


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


def clear_patterns() -> None:
    """Forget the compiled queries that are kept for the next time."""
    compile_pattern.cache_clear()


def _compile_literal(text: str, detail: str) -> Pattern:
    if not 1 <= len(text) <= MAX_LITERAL_CHARACTERS:
        raise InvalidQuery(f"query: a literal must have 1 to {MAX_LITERAL_CHARACTERS} characters, got {len(text)}")
    options = _options(case_sensitive=_has_upper_case(text))
    options.literal = True
    compiled = _compile(text, options)
    instructions = min(compiled.programsize, _LITERAL_INSTRUCTIONS)
    needle = Needle.exact(text) if options.case_sensitive else Needle.ignoring_case(text)
    as_regex = _options(case_sensitive=options.case_sensitive)
    crosses_lines = "\n" in text
    source = Source(re2.escape(text), as_regex, line_local=not crosses_lines, crosses_lines=crosses_lines)
    regex = WindowedRegex(compiled, instructions, crosses_lines=source.crosses_lines)
    return Pattern(compiled, source, regex, plan_literal(text), needle=needle, detail=detail)


def _has_upper_case(text: str) -> bool:
    if text.isascii():
        return text != text.lower()
    return any(character.isupper() for character in text)


def _compile_regex(regex: str, flags: str) -> Pattern:
    if not regex:
        raise InvalidQuery("query: the regex between the slashes is empty")
    if len(regex) > MAX_REGEX_CHARACTERS:
        raise InvalidQuery(f"query: a regex must have at most {MAX_REGEX_CHARACTERS} characters, got {len(regex)}")
    options = _options(case_sensitive="i" not in flags)
    options.dot_nl = "s" in flags
    options.never_nl = "s" not in flags
    compiled = _compile(f"(?m){regex}", options)
    if compiled.programsize > MAX_PROGRAM_INSTRUCTIONS:
        raise InvalidQuery("query: the regex is too large once its repetitions and classes are written out")
    crosses_lines = "s" in flags or "\\C" in regex
    line_local = not crosses_lines and not _SEES_TEXT_EDGES.search(regex)
    required = (Needle.ignoring_case(each) for each in sorted(required_literals(regex)))
    return Pattern(
        compiled,
        Source(regex, options, line_local=line_local, crosses_lines=crosses_lines),
        WindowedRegex(compiled, compiled.programsize, crosses_lines=crosses_lines),
        plan_regex(regex),
        required=tuple(each for each in required if each),
    )


def _options(*, case_sensitive: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # it would write the user's pattern to standard error
    options.max_mem = REGEX_MEMORY_BYTES
    options.never_capture = True
    options.case_sensitive = case_sensitive
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
