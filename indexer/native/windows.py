r"""RE2 over one text, in windows of whole lines, so that a search can stop within a large document.

A match of a line-oriented pattern never crosses a newline, so the matches of the windows are those of the text; RE2
sees what surrounds a window, so `^`, `$` and `\b` mean the same at its edges. A pattern that crosses lines gets the
text in one window, and so does a single line: then the budget refuses what could take too long.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

from indexer.native.budget import TimeBudget

_WINDOW_BYTES: Final = 65_536
_WINDOW_STEPS: Final = 1 << 24
_SMALLEST_WINDOW_BYTES: Final = 1_024
_NEWLINE: Final = b"\n"


class WindowedRegex:
    """A compiled regex and what its calls cost.

    Args:
        regex: compiled by RE2.
        instructions: that a byte of text costs at most.
        crosses_lines: whether a match may hold a newline.
    """

    def __init__(self, regex: Any, instructions: int, *, crosses_lines: bool) -> None:  # noqa: ANN401 - re2 has no types
        self._regex = regex
        self._instructions = instructions
        self._window_bytes = max(_SMALLEST_WINDOW_BYTES, min(_WINDOW_BYTES, _WINDOW_STEPS // instructions))
        self._crosses_lines = crosses_lines

    def spans(self, text: memoryview, start: int, budget: TimeBudget) -> Iterator[tuple[int, int]]:
        """The matches from a byte on, empty ones too, as (start, end) in bytes.

        Args:
            text: UTF-8.
            start: 0, or the beginning of a line if matches do not cross lines.
            budget: of the search.

        Raises:
            DeadlineExceeded: the next call of RE2 could outlast the budget.
        """
        previous = None
        for first, end in self._windows(text, start):
            matches = self._regex.finditer(text, first, end)
            budget.spend((end - first) * self._instructions)
            for match in matches:
                span: tuple[int, int] = match.span()
                if span != previous:  # an empty match that RE2 finds ahead, it finds again when it gets there
                    yield span
                previous = span
                budget.spend((end - span[1]) * self._instructions)

    def lines(self, text: memoryview, start: int, budget: TimeBudget) -> Iterator[tuple[int, int]]:
        """The lines in which a match begins, each as its first byte and the newline behind it or the end of the text.

        Args:
            text: UTF-8.
            start: the beginning of a line.
            budget: of the search.

        Raises:
            DeadlineExceeded: the next call of RE2 could outlast the budget.
        """
        while start <= len(text):
            span = next(self.spans(text, start, budget), None)
            if span is None:
                return
            start = line_start(text, span[0])
            end = line_end(text, span[0])
            yield start, end
            start = end + 1

    def matching_groups(self, lines: memoryview, starts: Sequence[int], budget: TimeBudget) -> Iterator[int]:
        """Which groups of lines hold a match; only for a pattern that is line-local.

        Args:
            lines: UTF-8, whole lines.
            starts: where each group begins, and the end of the last.
            budget: of the search.

        Raises:
            DeadlineExceeded: the next call of RE2 could outlast the budget.
        """
        place = 0
        for first, end in self._windows(lines, 0):
            place = max(place, first)
            while place < end:
                budget.spend((end - place) * self._instructions)
                match = self._regex.search(lines, place, end)
                if match is None:
                    break
                group = bisect_right(starts, match.start()) - 1
                yield group
                place = starts[group + 1]

    def _windows(self, text: memoryview, start: int) -> Iterator[tuple[int, int]]:
        while not self._crosses_lines and len(text) - start > self._window_bytes:
            end = self._window_end(text, start)
            yield start, end
            if end == len(text):
                return
            start = end + 1
        yield start, len(text)

    def _window_end(self, text: memoryview, start: int) -> int:
        """The last newline in reach of a window, or else the next one, or the end of the text."""
        reach = start + self._window_bytes
        newline = bytes(text[start:reach]).rfind(_NEWLINE)
        return start + newline if newline >= 0 else line_end(text, reach)


def line_start(text: memoryview, at: int) -> int:
    """Where the line of a byte begins."""
    reach = max(0, at - _WINDOW_BYTES)
    newline = bytes(text[reach:at]).rfind(_NEWLINE)
    return reach + newline + 1 if newline >= 0 or reach == 0 else line_start(text, reach)


def line_end(text: memoryview, at: int) -> int:
    """The newline from a byte on, or the end of the text."""
    for start in range(at, len(text), _WINDOW_BYTES):
        newline = bytes(text[start : start + _WINDOW_BYTES]).find(_NEWLINE)
        if newline >= 0:
            return start + newline
    return len(text)
