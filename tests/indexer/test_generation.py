"""Generations side by side, one of them live."""

import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from unittest.mock import ANY

import msgspec
import pytest

from indexer.errors import GenerationUnusable
from indexer.generation import (
    GenerationHold,
    GenerationSettings,
    Pointer,
    create_generation,
    forget_previous,
    generation_names,
    live_generation,
    live_stamp,
    open_or_create_live,
    promote,
    read_pointer,
    remove_generation,
)

SETTINGS = GenerationSettings(index="bm25", format_version=1, analyzer="code")


def test_there_is_no_live_generation_at_first(tmp_path: Path) -> None:
    """Nothing on disk is not an error: nothing was indexed yet."""
    assert live_generation(tmp_path, "bm25") is None
    assert live_stamp(tmp_path, "bm25") == (0, 0)


def test_the_first_generation_is_made_and_put_live_once(tmp_path: Path) -> None:
    """Opening again gives the same one."""
    first = open_or_create_live(tmp_path, SETTINGS)
    assert first.name == "g000001"
    assert first.directory.is_dir()
    assert open_or_create_live(tmp_path, SETTINGS) == first == live_generation(tmp_path, "bm25")


def test_a_new_generation_is_not_live_until_it_is_promoted(tmp_path: Path) -> None:
    """Readers follow the pointer, and back again."""
    first = open_or_create_live(tmp_path, SETTINGS)
    second = create_generation(tmp_path, SETTINGS)
    assert second.name == "g000002"
    assert live_generation(tmp_path, "bm25") == first
    promote(tmp_path, second)
    assert live_generation(tmp_path, "bm25") == second
    promote(tmp_path, first)
    assert live_generation(tmp_path, "bm25") == first


def test_indexes_do_not_share_generations(tmp_path: Path) -> None:
    """Each index has a pointer and numbers of its own."""
    open_or_create_live(tmp_path, SETTINGS)
    other = open_or_create_live(tmp_path, msgspec.structs.replace(SETTINGS, index="native"))
    assert other.name == "g000001"
    assert other.directory.parent.name == "native"


def test_the_stamp_changes_with_every_promotion(tmp_path: Path) -> None:
    """Also when the same generation comes back, for its files may have been opened anew."""
    generations = [open_or_create_live(tmp_path, SETTINGS), create_generation(tmp_path, SETTINGS)]
    stamps = [live_stamp(tmp_path, "bm25")]
    for turn in range(20):
        promote(tmp_path, generations[1 - turn % 2])
        stamps.append(live_stamp(tmp_path, "bm25"))
    assert all(before != after for before, after in pairwise(stamps))
    assert live_stamp(tmp_path, "bm25") == stamps[-1]


def test_another_format_needs_another_generation(tmp_path: Path) -> None:
    """Files of a format that this version does not write are left alone."""
    open_or_create_live(tmp_path, SETTINGS)
    with pytest.raises(GenerationUnusable, match=r"built in format 1, and this version writes 2; rebuild the index"):
        open_or_create_live(tmp_path, msgspec.structs.replace(SETTINGS, format_version=2))


def test_a_generation_goes_on_with_what_it_was_built_with(tmp_path: Path) -> None:
    """The settings of the system are for the next one; an index is never a mixture."""
    first = open_or_create_live(tmp_path, SETTINGS)
    assert open_or_create_live(tmp_path, msgspec.structs.replace(SETTINGS, analyzer="plain")) == first


def test_the_pointer_knows_the_way_back(tmp_path: Path) -> None:
    """Whatever is put live, the one before it is named with it, by the same atomic replacement."""
    first, second = open_or_create_live(tmp_path, SETTINGS), create_generation(tmp_path, SETTINGS)
    assert read_pointer(tmp_path, "bm25") == Pointer(first.name)
    promote(tmp_path, second)
    pointer = read_pointer(tmp_path, "bm25")
    assert pointer is not None
    assert (pointer.live, pointer.previous) == (second.name, first.name)
    assert abs(pointer.swapped_at - time.time()) < 60
    promote(tmp_path, second)
    assert read_pointer(tmp_path, "bm25") == pointer
    forget_previous(tmp_path, "bm25")
    assert read_pointer(tmp_path, "bm25") == Pointer(second.name)


def test_a_damaged_pointer_is_mended_by_the_next_promotion(tmp_path: Path) -> None:
    """Else nobody could rebuild an index whose pointer is damaged."""
    open_or_create_live(tmp_path, SETTINGS)
    second = create_generation(tmp_path, SETTINGS)
    (tmp_path / "bm25" / "live").write_bytes(b"\0")
    promote(tmp_path, second)
    assert read_pointer(tmp_path, "bm25") == Pointer(second.name, None, ANY)


def test_a_generation_is_not_removed_while_somebody_holds_it(tmp_path: Path) -> None:
    """Readers have files to open yet; who comes too late is told."""
    open_or_create_live(tmp_path, SETTINGS)
    second = create_generation(tmp_path, SETTINGS)
    holds = [GenerationHold(second), GenerationHold(second)]
    for hold in holds:
        assert not remove_generation(tmp_path, "bm25", second.name)
        assert second.directory.is_dir()
        hold.release()
        hold.release()
    assert remove_generation(tmp_path, "bm25", second.name)
    assert sorted(path.name for path in (tmp_path / "bm25").iterdir()) == ["g000001", "live"]
    with pytest.raises(GenerationUnusable, match="was removed"):
        GenerationHold(second)


def test_what_a_crash_left_half_made_or_half_removed_goes(tmp_path: Path) -> None:
    """A folder without a description is nobody's, and one that was being removed is no generation any more."""
    open_or_create_live(tmp_path, SETTINGS)
    (tmp_path / "bm25" / "g000002").mkdir()
    (tmp_path / "bm25" / ".dropped-g000003" / "deeper").mkdir(parents=True)
    assert generation_names(tmp_path, "bm25") == ["g000001", "g000002"]
    assert remove_generation(tmp_path, "bm25", "g000002")
    assert sorted(path.name for path in (tmp_path / "bm25").iterdir()) == ["g000001", "live"]


@pytest.mark.parametrize(
    "pointer",
    [
        *(b"", b"g1", b"../../etc", b"g000001/..", b"\xff\xfe", b"g000001\ng000002", b"g000001\nprevious ../x 1"),
        *(b"g000001\nprevious g000002", b"g000001\nprevious g000002 -1", b"g000001 previous g000002 1"),
    ],
)
def test_a_damaged_pointer_is_said(tmp_path: Path, pointer: bytes) -> None:
    """It never leads anywhere else than to a generation of this index."""
    open_or_create_live(tmp_path, SETTINGS)
    (tmp_path / "bm25" / "live").write_bytes(pointer)
    with pytest.raises(GenerationUnusable, match="does not name a generation"):
        live_generation(tmp_path, "bm25")


def test_a_pointer_that_is_no_file_is_said(tmp_path: Path) -> None:
    """Whatever took its place, the index is unusable, not the process broken."""
    (tmp_path / "bm25" / "live").mkdir(parents=True)
    with pytest.raises(GenerationUnusable, match="cannot be read"):
        live_generation(tmp_path, "bm25")


def test_a_pointer_to_a_lost_generation_is_said(tmp_path: Path) -> None:
    """A new and empty generation in its place would look like a loss of every document."""
    shutil.rmtree(open_or_create_live(tmp_path, SETTINGS).directory)
    with pytest.raises(GenerationUnusable, match=r"generation\.json cannot be read"):
        open_or_create_live(tmp_path, SETTINGS)


@pytest.mark.parametrize("description", [b"", b"{}", b'{"index":5,"format_version":1}', b'{"index":"\xff"}', b"["])
def test_a_damaged_description_is_said(tmp_path: Path, description: bytes) -> None:
    """What a generation was built with cannot be guessed."""
    live = open_or_create_live(tmp_path, SETTINGS)
    (live.directory / "generation.json").write_bytes(description)
    with pytest.raises(GenerationUnusable, match=r"generation\.json cannot be read"):
        live_generation(tmp_path, "bm25")


KILL_AT = """
import os, pathlib, signal, sys
from indexer.generation import GenerationSettings, open_or_create_live

root, fatal = pathlib.Path(sys.argv[1]), int(sys.argv[2])
calls = 0

def die_before(event, arguments):
    global calls
    if event in ("open", "os.mkdir", "os.rename", "os.remove") and str(root) in str(arguments[0]):
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1

sys.addaudithook(die_before)
open_or_create_live(root, GenerationSettings(index="bm25", format_version=1, analyzer="code"))
"""


def test_a_kill_at_any_step_of_the_first_start_is_mended_by_the_next(tmp_path: Path) -> None:
    """The pointer names a complete generation or is not there, and starting again always works."""
    for step in range(40):
        root = tmp_path / str(step)
        root.mkdir()
        done = subprocess.run([sys.executable, "-c", KILL_AT, root, str(step)], check=False, timeout=60)
        left = live_generation(root, "bm25")
        assert left is None or left.settings == SETTINGS
        live = open_or_create_live(root, SETTINGS)
        assert left in (None, live)
        if done.returncode == 0:
            assert step > 10
            return
        assert done.returncode == -signal.SIGKILL
    pytest.fail("the first start never ended")


def test_processes_that_start_together_agree_on_the_first_generation(tmp_path: Path) -> None:
    """Whoever is second takes what the first one made."""
    settings = GenerationSettings("bm25", 1)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: open_or_create_live(tmp_path, settings).name, range(32)))
    assert set(made) == {"g000001"}
