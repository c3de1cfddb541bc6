"""Reads through what a generation of segments has committed, and says which files are damaged."""

from collections.abc import Iterator
from pathlib import Path

from indexer.damage import Damage
from indexer.errors import GenerationUnusable
from indexer.generation import Generation
from indexer.segment.file import SegmentFile
from indexer.segment.manifest import MANIFEST, ManifestReader, SegmentEntry
from indexer.segment.tombstones import read_tombstones


def find_damage(generation: Generation) -> Iterator[Damage]:
    """As `indexer.damage.FindDamage`, for the engines on segments."""
    directory = generation.directory
    sound: set[SegmentEntry] = set()
    while True:
        try:
            read = ManifestReader(directory)
        except (FileNotFoundError, GenerationUnusable) as exc:
            yield Damage(directory / MANIFEST, str(exc))
            return
        found = [each for entry in read.manifest.segments for each in _check(directory, entry, sound)]
        if not found or not read.superseded:  # a newer commit removes files that it does not need
            yield from found
            return


def _check(directory: Path, entry: SegmentEntry, sound: set[SegmentEntry]) -> Iterator[Damage]:
    """Check the files of a segment, unless they are known to be sound."""
    if entry in sound:
        return
    path = directory / entry.name
    try:
        SegmentFile(path, entry.stamp).verify()
        if entry.tombstones is not None:
            path = directory / entry.tombstones.name
            read_tombstones(path, entry.tombstones, entry.documents)
    except FileNotFoundError:
        yield Damage(path, f"{path} is gone")
    except GenerationUnusable as exc:
        yield Damage(path, str(exc))
    else:
        sound.add(entry)
