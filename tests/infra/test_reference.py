"""Generated reference pages."""

import re
from pathlib import Path

import pytest

from infra.cli.main import cli
from infra.reference.cli import leaves
from infra.reference.pages import PAGES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    """Pages are generated; after a change of what they tell, `make reference` must write them anew."""
    assert (DOCS / name).read_text() == PAGES[name]()


def test_every_command_has_its_section() -> None:
    """Those inside groups too, in the order of the help pages."""
    sections = re.findall(r"^## `(.*)`$", PAGES["cli.md"](), re.MULTILINE)
    assert sections == [path for path, _ in leaves(cli)]
    assert {"embed-search up", "embed-search dlq replay", "embed-search keys create"} <= set(sections)


@pytest.mark.parametrize("name", PAGES)
def test_tables_have_as_many_cells_as_columns(name: str) -> None:
    """A bar that was not escaped would shift what follows it into the wrong column."""
    width = 0
    for line in PAGES[name]().splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (cells and width) or cells == width, line
        width = cells
