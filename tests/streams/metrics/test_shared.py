"""Counters of many processes: they add up, outlive their processes, and survive torn files and crashes of a merge."""

import fcntl
import math
import os
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import msgspec
import psutil
import pytest
from prometheus_client.mmap_dict import MmapedDict

from streams.metrics import MULTIPROCESS_VARIABLE, Metrics, expose
from streams.metrics.processes import is_live, live_processes, process_identity
from streams.metrics.shared import BAD_SUFFIX, MERGED, merge_dead, read_shared

UPSERTS = ("embed_search_index_operations_total", (("index", "bm25"), ("operation", "upsert")))
OPENED = ("embed_search_breaker_changes_total", (("method", "bm25"), ("state", "open")))
STATE = ("embed_search_breaker_state", (("method", "bm25"),))
IDLE = ("embed_search_pool_connections", (("state", "idle"),))

COUNTING = """
import sys
from streams.metrics import open_metrics
metrics = open_metrics()
metrics.indexed("bm25", "upsert", int(sys.argv[1]))
metrics.searched("bm25", "ok", 0.02)
metrics.breaker("bm25", "open")
metrics.connections("idle", 2)
print("counted", flush=True)
sys.stdin.read()
"""

FORKING = """
import os
from streams.metrics import open_metrics
metrics = open_metrics()
metrics.indexed("bm25", "upsert")
child = os.fork()
metrics.indexed("bm25", "upsert")
if child:
    os.waitpid(child, 0)
"""


class Counting:
    """A process that has counted, and then waits to be killed."""

    def __init__(self, directory: Path, upserts: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(upserts)],
            env={**os.environ, MULTIPROCESS_VARIABLE: str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"counted\n"

    def kill(self) -> None:
        """`kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that processes share."""
    monkeypatch.setenv(MULTIPROCESS_VARIABLE, str(tmp_path))
    return tmp_path


def dead(directory: Path, number: int, upserts: float = 1.0) -> Path:
    """The file of a process that counted and died."""
    path = directory / f"counter_{number}-1.db"
    key = msgspec.json.encode(["embed_search_index_operations", UPSERTS[0], dict(UPSERTS[1]), "help"]).decode()
    file = MmapedDict(str(path))  # type: ignore[no-untyped-call] # not annotated there
    file.write_value(key, upserts, 0.0)  # type: ignore[no-untyped-call] # see above
    file.close()  # type: ignore[no-untyped-call] # see above
    return path


def test_what_killed_processes_counted_is_kept_without_their_files(directory: Path) -> None:
    """Counters and histograms outlive their processes, to the last increment; gauges do not."""
    first, second = Counting(directory, 3), Counting(directory, 4)
    alive = read_shared(directory)
    assert (alive[UPSERTS], alive[STATE], alive[IDLE]) == (7, 2, 4)
    assert {process.pid for process in live_processes(directory)} == {first.process.pid, second.process.pid}
    first.kill()
    one_left = read_shared(directory)
    assert (one_left[UPSERTS], one_left[STATE], one_left[IDLE]) == (7, 2, 2)
    assert merge_dead(directory) == 0
    assert read_shared(directory) == one_left
    second.kill()
    merge_dead(directory)
    counted = read_shared(directory)
    assert (counted[UPSERTS], counted[OPENED]) == (7, 2)
    assert counted["embed_search_duration_seconds_sum", (("method", "bm25"),)] == pytest.approx(0.04)
    assert not {STATE, IDLE} & counted.keys()
    assert list(directory.glob("*.db")) == []


def test_a_process_that_starts_merges_what_others_left(directory: Path) -> None:
    """Files do not pile up where nobody looks at the metrics, however often processes start and die."""
    for _ in range(4):
        Counting(directory, 1).kill()
    assert {path.stem.rpartition("_")[2] for path in directory.glob("*.db")} == {
        path.stem.rpartition("_")[2] for path in directory.glob("counter_*.db")
    }
    assert len(list(directory.glob("counter_*.db"))) == 1
    assert read_shared(directory)[UPSERTS] == 4


def test_readers_see_every_count_once_while_files_are_merged(directory: Path) -> None:
    """Sums never fall, and end at what was counted, with four readers during two hundred merges."""
    number_of_files, stop = 200, Event()

    def read() -> list[float]:
        seen = [0.0]
        while not stop.is_set():
            seen.append(read_shared(directory).get(UPSERTS, 0.0))
        return seen

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(read) for _ in range(4)]
        for number in range(1, number_of_files + 1):
            dead(directory, number)
            merge_dead(directory)
        stop.set()
    for reader in readers:
        assert reader.result() == sorted(reader.result())
    assert read_shared(directory)[UPSERTS] == number_of_files


def test_a_merge_that_was_cut_short_counts_nothing_twice(directory: Path) -> None:
    """Killed between the new sums and the removal of the files: they are in both places, and count once."""
    path = dead(directory, 1, 5)
    kept = path.read_bytes()
    merge_dead(directory)
    path.write_bytes(kept)
    assert read_shared(directory)[UPSERTS] == 5
    dead(directory, 2, 2)
    merge_dead(directory)
    assert read_shared(directory)[UPSERTS] == 7
    assert list(directory.glob("*.db")) == []


def test_only_one_process_merges_at_a_time(directory: Path) -> None:
    """While another one does, or stands still over it, files are left alone, and reading goes on."""
    path = dead(directory, 1)
    with (directory / "merge.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # not even beside one that would share it
        assert merge_dead(directory) == 0
        assert path.exists()
        assert read_shared(directory)[UPSERTS] == 1
    merge_dead(directory)
    assert not path.exists()


def _entry(key: bytes, value: float, length: int | None = None) -> bytes:
    padded = key + b" " * (8 - (len(key) + 4) % 8)
    entry = struct.pack(f"i{len(padded)}sdd", len(key) if length is None else length, padded, value, 0.0)
    return struct.pack("ii", 8 + len(entry), 0) + entry


GOOD_KEY = b'["embed_search_errors", "embed_search_errors_total", {"kind": "open", "method": "bm25"}, ""]'
TORN = {
    "less than a header": b"\xff",
    "a header without an end": b"\x40\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\xff\xfe\xfd",
    "a negative size": struct.pack("ii", -8, 0) + bytes(56),
    "a key beyond the end": _entry(GOOD_KEY, 1.0, 4_000),
    "a key of negative length": _entry(GOOD_KEY, 1.0, -28),
    "a key that is no text": _entry(b"\xff" * 40, 1.0),
    "a key that is no JSON": _entry(bytes(40), 1.0),
    "a key of another shape": _entry(b'["a", "b", ["c"], "d"]', 1.0),
    "no number": _entry(GOOD_KEY, math.nan),
    "a negative count": _entry(GOOD_KEY, -1.0),
    "noise": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_a_torn_file_costs_itself_alone(directory: Path, torn: bytes) -> None:
    """What a dead process left in disorder is set aside and counted once; all else is told as before."""
    mine = Metrics(directory)
    mine.indexed("bm25", "upsert", 2)
    dead(directory, 1)
    path = directory / "counter_7-7.db"
    path.write_bytes(torn)
    assert read_shared(directory)[UPSERTS] == 3
    for _ in range(2):
        text = expose(mine).decode()
        assert "embed_search_metrics_bad_files_total 1.0" in text
        assert 'embed_search_index_operations_total{index="bm25",operation="upsert"} 3.0' in text
    assert not path.exists()
    assert path.with_name(path.name + BAD_SUFFIX).read_bytes() == torn


def test_a_child_is_not_taken_for_its_parent(directory: Path) -> None:
    """A process that was forked writes into files of its own, although its parent's name was known when it began."""
    environment = {**os.environ, MULTIPROCESS_VARIABLE: str(directory)}
    subprocess.run([sys.executable, "-c", FORKING], env=environment, check=True, timeout=60)
    assert len(list(directory.glob("counter_*.db"))) == 2
    assert read_shared(directory)[UPSERTS] == 3


def test_a_file_without_a_byte_is_not_torn(directory: Path) -> None:
    """Its process had not counted anything yet, and may be about to."""
    mine = Metrics(directory)
    mine.indexed("bm25", "upsert")
    (directory / f"histogram_{process_identity()}.db").write_bytes(b"")
    (directory / "counter_7-7.db").write_bytes(b"")
    assert merge_dead(directory) == 0
    assert read_shared(directory)[UPSERTS] == 1


def test_the_file_of_a_running_process_is_never_set_aside(directory: Path) -> None:
    """It would go on writing into it, and nothing that it counts would be seen any more."""
    mine = Metrics(directory)
    mine.indexed("bm25", "upsert")
    torn = directory / f"histogram_{process_identity()}.db"
    torn.write_bytes(b"\xff")
    assert merge_dead(directory) == 0
    assert torn.exists()
    assert read_shared(directory)[UPSERTS] == 1


def test_broken_sums_do_not_take_the_living_away(directory: Path) -> None:
    """A file of sums that somebody damaged costs what was in it."""
    mine = Metrics(directory)
    mine.indexed("bm25", "upsert", 2)
    (directory / MERGED).write_bytes(b'{"files": [')
    assert read_shared(directory)[UPSERTS] == 2
    dead(directory, 1)
    merge_dead(directory)
    assert read_shared(directory)[UPSERTS] == 3


def test_a_pid_that_is_used_again_is_another_process() -> None:
    """The moment of the start tells them apart, whatever the wall clock does meanwhile."""
    pid, _, started = process_identity().partition("-")
    assert int(pid) == os.getpid()
    assert is_live(Path(f"counter_{process_identity()}.db"))
    assert not is_live(Path(f"counter_{pid}-{int(started) - 1}.db"))
    assert not is_live(Path(f"counter_{pid}.db"))


def test_a_process_that_nobody_took_note_of_is_dead() -> None:
    """A zombie keeps its pid and its start, and writes nothing any more."""
    with subprocess.Popen(["sleep", "60"]) as process:
        started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        path = Path(f"counter_{process.pid}-{started}.db")
        assert is_live(path)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        assert not is_live(path)
