"""The last figure of each kind as a table in Markdown: `python -m tests.faults.table`, for `docs/faults.md`."""

import re
from typing import Final

import msgspec

from tests.faults.figures import FILE, Figure

_NUMBER: Final = re.compile(r"[0-9]+")


def table(lines: list[bytes]) -> str:
    """A row for each figure, in the order of the last runs' files."""
    last: dict[tuple[str, str], Figure] = {}
    for line in lines:
        figure = msgspec.json.decode(line, type=Figure)
        last[figure.experiment, figure.what] = figure
    rows = ["| experiment | figure | must be | measured | healthy, same run | day | machine load |"]
    rows.append("| --- | --- | --- | ---: | ---: | --- | ---: |")
    shown = ""
    for figure in sorted(last.values(), key=lambda figure: _order(figure.experiment)):
        name = figure.experiment if figure.experiment != shown else ""
        shown = figure.experiment
        healthy = figure.shown(figure.healthy) if figure.healthy is not None else ""
        cells = (name, figure.what, f"{figure.relation} {figure.shown(figure.limit)}", figure.shown(figure.measured))
        rows.append(f"| {' | '.join((*cells, healthy, figure.at[:10], str(figure.machine_load)))} |")
    return "\n".join(rows)


def _order(experiment: str) -> int:
    """The first number in the name, wherever it is: some are of two experiments."""
    found = _NUMBER.search(experiment)
    return int(found[0]) if found else 0


if __name__ == "__main__":
    print(table(FILE.read_bytes().splitlines()))  # noqa: T201 - this is its output
