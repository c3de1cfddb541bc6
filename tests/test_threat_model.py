"""The threat model names tests, and a promise without its test is none."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "threat-model.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _tests_of(path: Path) -> set[str]:
    """Names of the tests in a file, without importing it."""
    nodes = ast.parse(path.read_text()).body if path.exists() else []
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_every_test_that_is_named_exists() -> None:
    """Under that name, in that file."""
    named = _NAMED.findall(PAGE.read_text())
    assert len(named) > 40
    assert [f"{path}::{name}" for path, name in named if name not in _tests_of(ROOT / path)] == []


def test_every_row_of_an_attack_names_a_test() -> None:
    """A row that says what stops it says who has seen it."""
    tables = re.findall(r"\| what is tried .*?\n\|[- |]+\n((?:\|.*\n)+)", PAGE.read_text())
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) > 25
    assert [row for row in rows if not _NAMED.search(row)] == []
