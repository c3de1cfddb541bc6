"""The sums of what all processes counted, in the files of prometheus-client in their shared directory.

    counter_<process>.db, histogram_<process>.db    what a process counts, written through a mapping
    gauge_live<across>_<process>.db                 what holds as long as it lives
    merged.json                                     the sums of processes that are gone, and which files are in them
    <file>.bad                                      a file that could not be read, set aside

Files of processes that are gone are added up in `merged.json` and removed: without that they pile up, and to remove
them alone would let counters go backwards. The new sums are put in place before the files are removed, and name them,
so a crash in between counts nothing twice. Readers need no lock: they begin again when a merge came between.
"""

import fcntl
import json
import math
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog
from prometheus_client.mmap_dict import MmapedDict

from streams.metrics.names import Metric
from streams.metrics.processes import is_live

SampleKey = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a sample, and its labels in alphabetical order."""

Sums = dict[SampleKey, float]

MERGED: Final = "merged.json"
BAD_SUFFIX: Final = ".bad"

_LOCK: Final = "merge.lock"
_HEADER_BYTES: Final = 4
_GAUGES: Final = "gauge_"
_GREATEST: Final = frozenset(metric.value.name for metric in Metric if metric.value.across == "max")

_log = structlog.stdlib.get_logger(__name__)


class _Sum(msgspec.Struct, frozen=True, array_like=True):
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


class _Merged(msgspec.Struct, frozen=True):
    """What is in `merged.json`.

    Attributes:
        files: those in the sums that may not be removed yet.
        sums: of everything that was merged so far.
    """

    files: tuple[str, ...] = ()
    sums: tuple[_Sum, ...] = ()


class TornFile(Exception):
    """A file that cannot be read."""


class _MergedMeanwhile(Exception):
    """Files that were to be read are in `merged.json` by now."""


def read_shared(directory: Path) -> Sums:
    """Everything that was counted in the directory, and the gauges of the processes that run.

    A file that cannot be read is left out: it costs what it had counted, and nothing else.
    """
    while True:  # each turn but the last means that a merge was finished
        with suppress(_MergedMeanwhile):
            return _read_once(directory)


def merge_dead(directory: Path) -> int:
    """Merge the files of processes that are gone, unless another process does it just now.

    Returns:
        How many could not be read, and were set aside.
    """
    with _only_merger(directory) as alone:
        return _merge(directory) if alone else 0


def _merge(directory: Path) -> int:
    merged = _decode(_merged_bytes(directory))
    for name in merged.files:  # by a process that was killed before it could
        (directory / name).unlink(missing_ok=True)
    sums = {(entry.name, entry.labels): entry.value for entry in merged.sums}
    taken, bad = [], 0
    for path in _files(directory):
        if is_live(path):
            continue
        if path.name.startswith(_GAUGES):
            path.unlink(missing_ok=True)
            continue
        try:
            _add(sums, _read_file(path))
        except TornFile as exc:
            path.rename(path.with_name(path.name + BAD_SUFFIX))
            _log.warning("metrics file set aside", path=str(path), error=str(exc))
            bad += 1
        else:
            taken.append(path)
    if taken:
        _write_merged(directory, _Merged(tuple(path.name for path in taken), tuple(_entries(sums))))
    for path in taken:
        path.unlink(missing_ok=True)
    return bad


def _read_once(directory: Path) -> Sums:
    written = _merged_bytes(directory)
    merged = _decode(written)
    sums = {(entry.name, entry.labels): entry.value for entry in merged.sums}
    files = [path for path in _files(directory) if path.name not in merged.files]
    if _merged_bytes(directory) != written:
        raise _MergedMeanwhile
    for path in files:
        is_gauge = path.name.startswith(_GAUGES)
        if is_gauge and not is_live(path):
            continue
        try:
            _add(sums, _read_file(path))
        except FileNotFoundError as exc:
            if not is_gauge:
                raise _MergedMeanwhile from exc
        except TornFile as exc:
            _log.warning("metrics file left out", path=str(path), error=str(exc))
    return sums


def _read_file(path: Path) -> Sums:
    """The samples of one file.

    Raises:
        FileNotFoundError: it is gone.
        TornFile: it cannot be read as a whole.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    if not header:
        return {}  # its process had not counted anything yet
    if not 0 <= int.from_bytes(header, sys.byteorder, signed=True) <= size:
        raise TornFile("the header does not fit the size")
    try:
        values = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call] # not annotated there
        return {_key(text): _count(value) for text, value, _, _ in values}
    except (struct.error, RuntimeError, ValueError, TypeError, AttributeError) as exc:  # whatever garbled bytes do
        raise TornFile(repr(exc)) from exc


def _key(text: str) -> SampleKey:
    _, name, labels, _ = json.loads(text)
    return str(name), tuple(sorted((str(label), str(value)) for label, value in labels.items()))


def _count(value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise TornFile(f"{value} is no count")
    return value


def _add(sums: Sums, more: Mapping[SampleKey, float]) -> None:
    for key, value in more.items():
        before = sums.get(key, 0.0)
        sums[key] = max(before, value) if key[0] in _GREATEST else before + value


def _entries(sums: Sums) -> Iterator[_Sum]:
    return (_Sum(name, labels, value) for (name, labels), value in sums.items())


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.db"))


def _merged_bytes(directory: Path) -> bytes:
    """No two merges write the same, since each names other files."""
    try:
        return (directory / MERGED).read_bytes()
    except FileNotFoundError:
        return b""


def _decode(written: bytes) -> _Merged:
    if not written:
        return _Merged()
    try:
        return msgspec.json.decode(written, type=_Merged)
    except msgspec.DecodeError as exc:  # it is replaced as a whole, so this is a disk's doing, or somebody's
        _log.warning("merged metrics left out", error=str(exc))
        return _Merged()


def _write_merged(directory: Path, merged: _Merged) -> None:
    # Not synced: the directory is emptied when the machine starts anew, and a process's death loses no page.
    temporary = directory / f"{MERGED}.new"
    temporary.write_bytes(msgspec.json.encode(merged))
    temporary.replace(directory / MERGED)


@contextmanager
def _only_merger(directory: Path) -> Iterator[bool]:
    """Whether nobody else merges; if so, nobody will for as long as the block runs."""
    with (directory / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of a dead process's
        except BlockingIOError:
            yield False
        else:
            yield True
