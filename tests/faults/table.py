"""Brings the table of `docs/faults.md` up to date: `python -m tests.faults.table`.

The rows of an experiment are those of its last run, which wrote them to `dist/faults.jsonl`. Those of an experiment
that was not run since stay as they are in the page, which is where they are kept.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from tests.faults.figures import FILE, Figure

PAGE: Final = Path("docs/faults.md")

HEAD: Final = (
    "| experiment | figure | must be | measured | healthy, same run | day | machine load |",
    "| --- | --- | --- | ---: | ---: | --- | ---: |",
)

_NUMBER: Final = re.compile(r"[0-9]+")

_Rows = dict[str, list[str]]
"""What stands behind the name in each row of an experiment, by its name."""


def updated(page: str, lines: Iterable[bytes]) -> str:
    """A page with its one table brought up to date.

    Args:
        page: Markdown, with a table that begins with `HEAD`.
        lines: figures, as runs wrote them.
    """
    before, head, rest = page.partition("\n".join(HEAD) + "\n")
    assert head, "the page has no such table"
    rows, _, after = rest.partition("\n\n")
    return f"{before}{table(lines, rows.splitlines())}\n" + (f"\n{after}" if after else "")


def table(lines: Iterable[bytes], former: Iterable[str] = ()) -> str:
    """The table in the order of the experiments' numbers.

    Args:
        lines: figures, as runs wrote them.
        former: rows of experiments that may not be among them.
    """
    rows = _former(former) | {run[0].experiment: list(map(_behind_name, run)) for run in _runs(lines)}
    shown = [
        f"| {'' if place else experiment} | {row}"
        for experiment in sorted(rows, key=_order)
        for place, row in enumerate(rows[experiment])
    ]
    return "\n".join((*HEAD, *shown))


def _former(rows: Iterable[str]) -> _Rows:
    kept: _Rows = {}
    experiment = ""
    for row in rows:
        name, _, behind = row.removeprefix("|").partition("|")
        experiment = name.strip() or experiment
        kept.setdefault(experiment, []).append(behind.strip())
    return kept


def _runs(lines: Iterable[bytes]) -> Iterator[list[Figure]]:
    """The figures of each run, in their order: a run writes all of its own at once, and none twice."""
    run: list[Figure] = []
    for figure in map(msgspec.json.Decoder(Figure).decode, lines):
        if run and (figure.experiment != run[0].experiment or any(figure.what == other.what for other in run)):
            yield run
            run = []
        run.append(figure)
    if run:
        yield run


def _behind_name(figure: Figure) -> str:
    healthy = figure.shown(figure.healthy) if figure.healthy is not None else ""
    cells = (figure.what, f"{figure.relation} {figure.shown(figure.limit)}", figure.shown(figure.measured))
    return f"{' | '.join((*cells, healthy, figure.at[:10], str(figure.machine_load)))} |"


def _order(experiment: str) -> int:
    """The first number in the name, wherever it is: some are of two experiments."""
    found = _NUMBER.search(experiment)
    return int(found[0]) if found else 0


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(), FILE.read_bytes().splitlines()))
