r"""The peer of the native method: ripgrep over a folder that holds exactly the texts that the index holds.

Its options make it read what we index: every file as text, hidden and ignored ones too, no transcoding. Its regexes
are Rust's, whose `\w`, `\d`, `\s` and `\b` know all of Unicode; RE2's know ASCII, so they are written out.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from indexer.backend import Answer
from infra.bench.errors import BenchFailed
from infra.bench.patterns import BenchPattern
from streams.document import Document

_OPTIONS: Final = ("--no-config", "-uuu", "--text", "--encoding", "none", "--files-with-matches", "--null")
_TIMEOUT_SECONDS: Final = 600.0
_NO_MATCH: Final = 1

_ESCAPE: Final = re.compile(r"\\(.)")
_ASCII_CLASSES: Final = {
    "w": "[0-9A-Za-z_]",
    "d": "[0-9]",
    "s": r"[\t\n\f\r ]",
    "b": r"(?-u:\b)",
}


class Ripgrep:
    """An installed ripgrep.

    Args:
        program: its path.
        folder: to search.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def version(self) -> str:
        """What it calls itself, such as `ripgrep 13.0.0`."""
        told = self._run(["--version"])
        return " ".join(told.stdout.decode(errors="replace").split()[:2]) or "ripgrep"

    def matching(self, pattern: BenchPattern) -> frozenset[str]:
        """Names of the files that match, relative to the folder.

        Raises:
            BenchFailed: it refused the pattern, or failed.
        """
        done = self._run([*_OPTIONS, *_meaning(pattern), "--", "."])
        if done.returncode > _NO_MATCH:
            raise BenchFailed(f"rg failed on {pattern.query!r}: {done.stderr.decode(errors='replace').strip()}")
        return frozenset(os.fsdecode(name).removeprefix("./") for name in done.stdout.split(b"\0") if name)

    def _run(self, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(  # noqa: S603 - a program that the user installed, no shell
                [self._program, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as exc:
            raise BenchFailed(f"rg took more than {_TIMEOUT_SECONDS:.0f} seconds") from exc


def find_ripgrep() -> str | None:
    """Where ripgrep is installed, if it is."""
    return shutil.which("rg")


def copy_texts(documents: Iterable[Document], folder: Path) -> Iterator[Document]:
    """Write each document's body to a file of its id on its way."""
    for document in documents:
        file = folder / document.id
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(document.body.encode())
        yield document


def rust_regex(regex: str) -> str:
    """A regex of RE2 in Rust's syntax, which differs in what the classes of letters mean; not within brackets."""
    return _ESCAPE.sub(lambda escaped: _ASCII_CLASSES.get(escaped[1], escaped[0]), regex)


def same_matches(ours: Answer, theirs: frozenset[str]) -> bool:
    """Whether our answer, asked for as many hits as there are documents, holds exactly the files that rg found."""
    return ours.total_relation == "eq" and ours.total == len(theirs) and {hit.id for hit in ours.hits} == theirs


def _meaning(pattern: BenchPattern) -> list[str]:
    if not pattern.regex:
        return ["--fixed-strings", "--smart-case", "-e", pattern.text]
    return ["--ignore-case" if pattern.ignore_case else "--case-sensitive", "-e", rust_regex(pattern.text)]
