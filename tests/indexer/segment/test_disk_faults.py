"""Disks that fail, or lose what was not synced: readers see the state before a commit or the one after it, no other.

The methods are SQLite's (sqlite.org/testing.html, "I/O error testing"): let the N-th operation fail for every N; and
ALICE's (Pillai et al., OSDI 2014): look at every state that a loss of power may leave.
"""

import contextlib
import random
import shutil
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest

from indexer.errors import GenerationUnusable, IndexFault, WriterFailed
from indexer.registry import LOCAL_ENGINES
from tests.disk.failing import FAULTS, FailingDisk, Fault
from tests.disk.operations import Kind, watched
from tests.disk.power_loss import Disk, Recorder, moments
from tests.indexer.segment.histories import BATCHES, WRITERS, check_files, read, write

LOSSES = 2
"""States drawn after each operation; `make test-faults` draws more."""


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("name", WRITERS)
def test_the_nth_operation_fails(tmp_path: Path, name: str, fault: Fault) -> None:
    """The old state or the new one is found, errors have a meaning, and once healed the rest is written."""
    for number in count(1):
        root, disk = tmp_path / str(number), FailingDisk(number, fault)
        root.mkdir()
        commits = [0]
        with contextlib.suppress(WriterFailed, GenerationUnusable), watched(root, disk):
            write_or_say_why(root, name, commits)
        found = read(root, name)
        assert found in ((commits[-1], commits[-1] + 1) if found is not None else (None,)), disk.failed
        assert found is not None or commits == [0], disk.failed
        write(root, name)
        assert read(root, name) == len(BATCHES), disk.failed
        check_files(root, name)
        if disk.failed is None:
            assert number > 50  # there was something to fail
            break


def write_or_say_why(root: Path, name: str, commits: list[int]) -> None:
    """Write; before there is a writer that could have failed, the error is the file system's own."""
    try:
        write(root, name, commits.append)
    except OSError:
        if commits != [0] or any(root.glob("*/*/*.segment")):
            raise


def losses(tmp_path: Path, name: str, *, draws: int = LOSSES, ignored: frozenset[Kind] = frozenset()) -> Iterator[str]:
    """What is wrong with the states that losses of power may leave: a text for each, empty when nothing is.

    Args:
        tmp_path: where to make them.
        name: of the index.
        draws: states after each operation.
        ignored: what the writer does in vain.
    """
    root, recorder = tmp_path / "root", Recorder(ignored)
    root.mkdir()
    disk = Disk(root)
    with watched(root, recorder):
        write(root, name, lambda number: recorder.mark(str(number)))
    seeds = count(1)
    for marks in moments(disk, recorder.done):
        for seed in islice(seeds, draws):
            place = tmp_path / str(seed)
            disk.after_power_loss(place, random.Random(seed))
            yield problem(place, name, len(marks), f"seed {seed}")
            shutil.rmtree(place)


def problem(root: Path, name: str, committed: int, case: str) -> str:
    """What is wrong with an index of which so many batches were committed, or empty."""
    try:
        found = read(root, name) or 0
        assert found - committed in (0, 1)
        write(root, name)
        assert read(root, name) == len(BATCHES)
        check_files(root, name)
    except (AssertionError, IndexFault, OSError, LookupError, ValueError) as exc:
        return f"{case}, after commit {committed}: {exc!r}"
    return ""


@pytest.mark.parametrize("name", WRITERS)
def test_power_is_lost_after_any_operation(tmp_path: Path, name: str) -> None:
    """What was committed is there, whatever else is."""
    assert not list(filter(None, losses(tmp_path, name)))


@pytest.mark.parametrize("kind", [Kind.SYNC, Kind.SYNC_DIRECTORY])
def test_without_syncs_it_is_not(tmp_path: Path, kind: Kind) -> None:
    """The test above needs both kinds: it would notice if either was left out."""
    assert any(losses(tmp_path, "bm25", ignored=frozenset({kind})))


def test_the_engines_on_segments_are_all_tested() -> None:
    """A new one is added to the histories."""
    assert LOCAL_ENGINES.keys() - WRITERS.keys() == {"tantivy"}
