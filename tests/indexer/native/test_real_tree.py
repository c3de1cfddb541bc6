"""On a real tree, the native method names the files that ripgrep names."""

import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.backend import Query
from indexer.deadline import Deadline
from indexer.generation import open_or_create_live
from indexer.native import NativeSearcher, NativeWriter, generation_settings
from tests.indexer.contract.changes import upsert, watermark_after

_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
_FILES = 600

pytestmark = pytest.mark.skipif(shutil.which("rg") is None, reason="ripgrep is not installed")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources of the standard library that are UTF-8, copied flat into a folder."""
    folder = tmp_path_factory.mktemp("tree")
    taken = 0
    for path in sorted(_STANDARD_LIBRARY.rglob("*.py")):
        if taken == _FILES:
            break
        data = path.read_bytes()
        if "site-packages" in path.parts or not data or b"\0" in data or not _is_utf8(data):
            continue
        (folder / "_".join(path.relative_to(_STANDARD_LIBRARY).parts)).write_bytes(data)
        taken += 1
    return folder


@pytest.fixture(scope="module")
def searcher(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeSearcher]:
    """The same files, indexed without titles."""
    generation = open_or_create_live(tmp_path_factory.mktemp("index"), generation_settings())
    files = sorted(tree.iterdir())
    changes = [upsert(path.name, path.read_bytes().decode(), offset=at) for at, path in enumerate(files)]
    writer = NativeWriter(generation)
    writer.apply(changes)
    writer.commit(watermark_after(*changes))
    writer.close()
    opened = NativeSearcher(generation)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("the", ["-i", "-F", "the"]),
        ("self", ["-i", "-F", "self"]),
        ("OSError", ["-F", "OSError"]),
        ("é", ["-i", "-F", "é"]),
        ("no such words here", ["-i", "-F", "no such words here"]),
        ("/^class \\w+\\(.*Error\\):/", ["^class \\w+\\(.*Error\\):"]),
        ("/def __(enter|exit)__/", ["def __(enter|exit)__"]),
        ("/raise [A-Z]\\w+Error\\b/", ["raise [A-Z]\\w+Error\\b"]),
        ("/TODO|FIXME|XXX/i", ["-i", "TODO|FIXME|XXX"]),
        ("/^import (os|sys)$/", ["^import (os|sys)$"]),
        ("/[0-9]{5,}/", ["[0-9]{5,}"]),
        ("/a.b.c/", ["a.b.c"]),
    ],
)
def test_finds_the_files_that_ripgrep_finds(
    tree: Path, searcher: NativeSearcher, query: str, arguments: list[str]
) -> None:
    """`rg -l` and the index agree, for literals and regexes, rare and common."""
    command = ["rg", "--no-config", "-uu", "-l", *arguments, str(tree)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    answer = searcher.search(Query(query, _FILES, Deadline.after(60.0)))
    assert {hit.id for hit in answer.hits} == {Path(line).name for line in listed}
    assert answer.total == len(listed)
    assert answer.total_relation == "eq"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
