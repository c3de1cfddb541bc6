"""How set-up shows its progress: bars on a terminal, a line now and then in a log."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

Advance = Callable[[float, str], None]
"""Told the fraction of a step that is done, from 0 to 1, and what is going on; a negative fraction is unknown."""

_LINE_EVERY = 0.2


class Report:
    """Progress of steps on one console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Advance]:
        """Show one step for as long as the block."""
        with self._bar(title) if self._console.is_terminal else self._lines(title) as advance:
            yield advance

    @contextlib.contextmanager
    def _bar(self, title: str) -> Iterator[Advance]:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[what]}"), console=self._console) as bars:
            bar = bars.add_task(title, total=None, what="")

            def advance(fraction: float, what: str) -> None:
                bars.update(bar, total=None if fraction < 0 else 1.0, completed=max(fraction, 0.0), what=what)

            yield advance
            advance(1.0, "")

    @contextlib.contextmanager
    def _lines(self, title: str) -> Iterator[Advance]:
        self.say(f"{title} ...")
        shown = 0.0

        def advance(fraction: float, what: str) -> None:
            nonlocal shown
            if fraction < shown:
                shown = 0.0
            if fraction - shown >= _LINE_EVERY:
                shown = fraction
                self.say(f"{title}: {fraction:.0%} {what}".rstrip())

        yield advance
        self.say(f"{title}: done")
