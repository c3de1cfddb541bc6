"""Where damaged files are kept, for whoever wants to know what happened to them: `<generation>/quarantine/`.

They stay for as long as the generation does; nothing reads them.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from indexer.durable import sync_directory

QUARANTINE: Final = "quarantine"


def quarantine(directory: Path, damaged: Iterable[Path]) -> None:
    """Move damaged files, those of them that are there, out of the way of whoever opens a generation.

    Args:
        directory: of the generation that keeps them.
        damaged: the files, of that generation or of another one beside it.
    """
    kept = directory / QUARANTINE
    kept.mkdir(exist_ok=True)
    homes = {directory}
    for path in damaged:
        homes.add(path.parent)
        with suppress(FileNotFoundError):
            path.replace(kept / path.name)
    for home in (kept, *homes):
        sync_directory(home)
