"""Damaged segments: found, named, set aside in `<generation>/quarantine/`, and read again from the topic.

A segment is read through once after the writer has opened it (`indexer.scrub`), again before it is merged, and again
when a reader has stumbled over it (`indexer.segment.suspects`). The index goes on without a damaged one: a new manifest
leaves it out and has an empty watermark, and after that its files are moved. The consumer then replays the topic from
its beginning, after which the index equals one that was built anew:

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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from indexer.errors import GenerationUnusable
from indexer.quarantine import quarantine
from indexer.scrub import GoOn
from indexer.segment.engine import Segment, SegmentEngine
from indexer.segment.file import SegmentFile
from indexer.segment.manifest import Manifest, SegmentEntry, write_manifest

C = TypeVar("C")

_log = structlog.stdlib.get_logger(__name__)


def verify(files: Sequence[SegmentFile], go_on: GoOn) -> None:
    """Read all of some segments' files and hold them against their checksums.

    Args:
        files: of the segments.
        go_on: called often; raises to stop.

    Raises:
        SegmentDamaged: naming what changed.
    """
    for file in files:
        for _ in file.checks():
            go_on()


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
    for entry in lost:
        _log.error(
            "segment quarantined, its documents are read from the topic again",
            file=entry.name,
            reason=reasons[entry.name],
            documents=entry.live_documents,
        )
    tombstones = [entry.tombstones.name for entry in lost if entry.tombstones]
    quarantine(directory, [directory / name for name in (*(entry.name for entry in lost), *tombstones)])
