"""Damaged segments: found, named, set aside in `<generation>/quarantine/`, and read again from the topic.

A segment is read through once after the writer has opened it (`Scrub`), again before it is merged, and again when a
reader has stumbled over it (`indexer.segment.suspects`). The index goes on without a damaged one: a new manifest leaves
it out and has an empty watermark, and after that its files are moved. The consumer then replays the topic from its
beginning, after which the index equals one that was built anew:

- a document in a sound segment is as new as the old watermark, and older records of its partition are no news to it;
- a document of the lost segment has no live copy, so its records come as they did the first time, the newest last;
- a deleted document comes back with the record before its tombstone and goes with the tombstone. Compaction drops
  tombstones only with the records that they delete, and no sooner than the topic's `delete.retention.ms`, within which
  a rebuild must read the topic too;
- a copy that was deleted for a newer one stays deleted: its mark is in its own segment, whichever of the two is lost;
- versions of a document in different partitions have no order but that of arrival, in a replay as in a rebuild;
- a decision that was taken on damaged sections before the damage was found, such as to ignore a record as old news,
  is taken again, since every record is read again.

Until the replay has caught up, answers carry its watermark, so nobody takes them for complete. A crash after the
manifest and before the move leaves the damaged files as strays, and the next writer removes them.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread, get_native_id
from typing import Final, TypeVar

import msgspec
import structlog

from indexer.durable import sync_directory
from indexer.errors import GenerationUnusable
from indexer.segment.engine import Segment, SegmentEngine
from indexer.segment.file import SegmentFile
from indexer.segment.manifest import Manifest, SegmentEntry, write_manifest
from indexer.segment.pages import SegmentDamaged

QUARANTINE: Final = "quarantine"

_LOWEST_PRIORITY: Final = 19

C = TypeVar("C")

_log = structlog.stdlib.get_logger(__name__)


def verify(file: SegmentFile, go_on: Callable[[], None]) -> None:
    """Read all of a segment's file and hold it against its checksums.

    Args:
        file: of the segment.
        go_on: called often; raises to stop.

    Raises:
        SegmentDamaged: naming what changed.
    """
    for _ in file.checks():
        go_on()


class Scrub:
    """Reads segments through in a thread of its own, of the lowest priority; ends with the last, or the first damage.

    Args:
        files: of the segments to begin with.
    """

    def __init__(self, files: Iterable[SegmentFile]) -> None:
        self._closed = Event()
        self._damage: SegmentDamaged | None = None
        self.begin(files)

    @property
    def busy(self) -> bool:
        """Whether there is something left to read."""
        return self._thread.is_alive()

    def begin(self, files: Iterable[SegmentFile]) -> None:
        """Read these segments through; not to be called while it is busy."""
        self._thread = Thread(target=self._run, args=(tuple(files),), name="scrub")
        self._thread.start()

    def check(self, *, wait: bool = False) -> None:
        """Say what was found.

        Args:
            wait: until all is read.

        Raises:
            SegmentDamaged: a segment is damaged.
        """
        if wait:
            self._thread.join()
        if self._damage is not None:
            raise self._damage

    def close(self) -> None:
        """Stop, and wait for the thread: no longer than it takes to read a chunk."""
        self._closed.set()
        self._thread.join()

    def _run(self, files: Sequence[SegmentFile]) -> None:
        with contextlib.suppress(OSError):  # Linux gives every thread a priority of its own
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _LOWEST_PRIORITY)
        try:
            for file in files:
                verify(file, self._go_on)
        except SegmentDamaged as exc:
            _log.error("segment damaged", file=exc.name, reason=str(exc))
            self._damage = exc
        except _Closed:
            return

    def _go_on(self) -> None:
        if self._closed.is_set():
            raise _Closed


class _Closed(Exception):
    """The scrub is to stop."""


def open_sound(
    directory: Path, manifest: Manifest, engine: SegmentEngine[C], damaged: Mapping[str, str]
) -> tuple[Manifest, list[Segment[C]]]:
    """Open what a manifest names, and quarantine what is damaged or gone.

    Args:
        directory: of the generation.
        manifest: that is in place.
        engine: that wrote the segments.
        damaged: what is known of it: reasons by name of file.

    Returns:
        the manifest that is in place then, and its segments.
    """
    reasons: dict[str, str] = {}
    segments: list[Segment[C]] = []
    for entry in manifest.segments:
        try:
            if entry.name in damaged:
                reasons[entry.name] = damaged[entry.name]
                continue
            segments.append(Segment.open(directory, entry, engine))
        except FileNotFoundError as exc:
            reasons[entry.name] = f"{exc.filename} is gone"
        except GenerationUnusable as exc:
            reasons[entry.name] = str(exc)
    if reasons:
        lost = [entry for entry in manifest.segments if entry.name in reasons]
        manifest = _without(manifest, segments, engine)
        write_manifest(directory, manifest)
        _set_aside(directory, lost, reasons)
    return manifest, segments


def _without(manifest: Manifest, sound: Sequence[Segment[C]], engine: SegmentEngine[C]) -> Manifest:
    """The manifest of the segments that are left; it still says which topic they were read from."""
    return msgspec.structs.replace(
        manifest,
        commit=manifest.commit + 1,
        watermark=msgspec.structs.replace(manifest.watermark, offsets={}, timestamp_ms=0),
        segments=tuple(segment.entry for segment in sound),
        summary=engine.summarise(sound),
    )


def _set_aside(directory: Path, lost: Sequence[SegmentEntry], reasons: Mapping[str, str]) -> None:
    quarantine = directory / QUARANTINE
    quarantine.mkdir(exist_ok=True)
    for entry in lost:
        _log.error(
            "segment quarantined, its documents are read from the topic again",
            file=entry.name,
            reason=reasons[entry.name],
            documents=entry.live_documents,
        )
        for name in (entry.name, entry.tombstones.name if entry.tombstones else entry.name):
            with contextlib.suppress(FileNotFoundError):
                (directory / name).replace(quarantine / name)
    sync_directory(quarantine)
    sync_directory(directory)
