"""Progress bars, one for each step of a long work."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from infra.local.follow import Progress as ShowStep


@contextmanager
def step_bars(console: Console) -> Iterator[ShowStep]:
    """Show a bar for every step that is told of, while the block runs."""
    columns = (TextColumn("{task.description:>14}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bars: dict[str, TaskID] = {}

        def show(step: str, share: float) -> None:
            if step not in bars:
                bars[step] = progress.add_task(step, total=1.0)
            progress.update(bars[step], completed=share)

        yield show
