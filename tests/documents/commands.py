"""The commands that the documents show: fenced blocks of the kind `console`, each command after `$ `.

A comment before a block says why its commands cannot be run by a test:

    <!-- not run: needs a cluster -->
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONSOLE = "console"

_FENCE = re.compile(r"^ *```(\w*)")
_NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")
_PROMPT = "$ "
_INLINE = re.compile(r"`(embed-search [^`]+)`")


class Command(msgspec.Struct, frozen=True):
    """A command of a page.

    Attributes:
        page: where it is shown.
        line: the number of its first line.
        text: as a shell takes it.
        not_run: why it cannot be run; empty when it can.
    """

    page: Path
    line: int
    text: str
    not_run: str = ""

    @property
    def place(self) -> str:
        """For whoever looks for it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Block(msgspec.Struct, frozen=True):
    """A fenced block: its kind, its lines by number, and the line before it."""

    kind: str
    lines: list[tuple[int, str]]
    before: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    inside: Block | None = None
    before = ""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if found := _FENCE.match(line):
            if inside is not None:
                yield inside
            inside = Block(found[1], [], before) if inside is None else None
        elif inside is not None:
            inside.lines.append((number, line))
        before = line


def commands(page: Path) -> list[Command]:
    """The commands of a page, in order."""
    return [command for block in blocks(page) if block.kind == CONSOLE for command in _of_block(page, block)]


def _of_block(page: Path, block: Block) -> Iterator[Command]:
    reason = _NOT_RUN.match(block.before)
    open_command: Command | None = None
    for number, line in block.lines:
        if open_command is not None:
            text = f"{open_command.text}\n{line}"
        elif line.startswith(_PROMPT):
            text = line.removeprefix(_PROMPT)
        else:
            continue  # what the command before it printed
        first = open_command.line if open_command else number
        open_command = Command(page, first, text, reason[1] if reason else "")
        if not line.endswith("\\"):
            yield open_command
            open_command = None


def mentions(page: Path) -> list[str]:
    """Commands of ours in running text."""
    return _INLINE.findall(page.read_text())
