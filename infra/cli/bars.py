"""Progress bars, one for each step of a long work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

_TIME_WIDTH: Final = 7


class StepBars:
    """A bar for every step that is told of, and a line below them for work whose end is not known.

    Args:
        progress: shows them.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._line: TaskID | None = None

    def __call__(self, step: str, share: float) -> None:
        """Show how much of a step is done, from 0 to 1; what was said before is over."""
        self.end()
        if step not in self._bars:
            self._bars[step] = self._progress.add_task(step, total=1.0)
        self._progress.update(self._bars[step], completed=share)

    def say(self, work: str) -> None:
        """Say what is being done, in place of what was said before."""
        if self._line is None:
            self._line = self._progress.add_task(work, total=None)
        self._progress.update(self._line, description=work)

    def end(self) -> None:
        """Say nothing more."""
        if self._line is not None:
            self._progress.remove_task(self._line)
            self._line = None


@contextmanager
def step_bars(console: Console) -> Iterator[StepBars]:
    """Show bars while the block runs."""
    columns = (
        TextColumn("{task.description:>14}"),
        BarColumn(),
        TaskProgressColumn(),  # which leaves out what is no share
        TimeElapsedColumn(Column(min_width=_TIME_WIDTH)),
        TimeRemainingColumn(table_column=Column(min_width=_TIME_WIDTH)),
    )
    with Progress(*columns, console=console) as progress:
        bars = StepBars(progress)
        yield bars
        bars.end()
