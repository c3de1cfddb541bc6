"""Tables of Markdown."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, with bars in its cells escaped and no line broken."""
    return "".join(map(_row, [columns, ["---"] * len(columns), *rows]))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
