"""Progress bars as they are left on the screen."""

import io

import pytest
from rich.console import Console

from infra.cli.bars import StepBars, step_bars

WIDTH = 60


def screen(console: Console) -> list[str]:
    """The lines, without spaces at their ends."""
    assert isinstance(console.file, io.StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines()]


def tell(bars: StepBars) -> None:
    """A step of which much is told, and work whose end is not known."""
    for done in range(1, 101):
        bars("bm25", done / 100)
    for documents in range(1_000, 50_000, 1_000):
        bars.say(f"bm25: {documents:,} documents")


def _interrupted(console: Console) -> None:
    with step_bars(console) as bars:
        tell(bars)
        raise KeyboardInterrupt


def test_a_step_has_one_bar_however_often_it_is_told() -> None:
    """What was only said is over with the next step, and at the end."""
    console = Console(file=io.StringIO(), width=WIDTH)
    with step_bars(console) as bars:
        tell(bars)
        bars("tantivy", 0.5)
        tell(bars)
    first, second = screen(console)
    assert first.startswith("bm25 ")
    assert "100%" in first
    assert second.startswith("tantivy ")
    assert " 50% " in second


def test_what_was_being_done_stays_if_it_fails() -> None:
    """One line of it, with the last that was said, and no share of what has no known end."""
    console = Console(file=io.StringIO(), width=WIDTH)
    with pytest.raises(KeyboardInterrupt):
        _interrupted(console)
    bar, line = screen(console)
    assert "100%" in bar
    assert line.startswith("bm25: 49,000 documents ")
    assert "%" not in line
