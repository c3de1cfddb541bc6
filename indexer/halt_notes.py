"""Whether an indexer reads nothing until somebody has looked, and why: a note under the data directory, for the API.

The indexer is another process, and whoever looks at `/health` of the API must learn of it there.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog

from indexer.durable import replace_file
from indexer.health.progress import Progress
from indexer.stopping import wait_or_stop

LOOK_SECONDS: Final = 0.5

_log = structlog.stdlib.get_logger(__name__)


class HaltNote(msgspec.Struct, frozen=True):
    """Why an indexer has halted."""

    reason: str


class HaltNotes:
    """The notes of all indexers of a data directory.

    Args:
        data_directory: of the system.
    """

    def __init__(self, data_directory: Path) -> None:
        self._directory = data_directory / "halted"

    def write(self, index: str, reason: str) -> None:
        """Say that the indexer has halted; blocks on the disk."""
        self._directory.mkdir(parents=True, exist_ok=True)
        replace_file(self._path(index), msgspec.json.encode(HaltNote(reason)))

    def clear(self, index: str) -> None:
        """Say that the indexer has not halted."""
        self._path(index).unlink(missing_ok=True)

    def reason(self, index: str) -> str | None:
        """Why the indexer has halted; None while it has not."""
        try:
            return msgspec.json.decode(self._path(index).read_bytes(), type=HaltNote).reason
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as exc:
            _log.warning("note cannot be read", path=str(self._path(index)), error=repr(exc))
            return None

    async def follow(self, indexers: Mapping[str, Progress], stop: asyncio.Event) -> None:
        """Keep the notes of indexers until `stop` is set, and leave none of them behind."""
        written = dict.fromkeys(indexers, "left by an earlier process")
        while not stop.is_set():
            for index, progress in indexers.items():
                await self._follow(index, progress.halt_reason, written)
            await wait_or_stop(stop, LOOK_SECONDS)
        for index in indexers:
            await self._follow(index, "", written)

    async def _follow(self, index: str, reason: str, written: dict[str, str]) -> None:
        if written[index] == reason:
            return
        try:
            await asyncio.to_thread(self._put, index, reason)
        except OSError as exc:  # of the disk: indexing, which has its own way with that, must not end with it
            _log.warning("note cannot be written", index=index, error=repr(exc))
        else:
            written[index] = reason

    def _put(self, index: str, reason: str) -> None:
        if reason:
            self.write(index, reason)
        else:
            self.clear(index)

    def _path(self, index: str) -> Path:
        return self._directory / f"{index}.json"
