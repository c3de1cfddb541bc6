"""How a reader tells the writer of damage: by an empty file beside the segment, `<segment>.suspect`.

Reader and writer are different processes and share nothing but the directory. A mark is no proof: the writer reads the
segment through itself, and sets it aside only if it finds the damage, too. A reader that may not write there leaves no
mark, and the damage stays until a writer opens the generation or merges the segment.
"""

from pathlib import Path
from typing import Final

import structlog

from indexer.segment.pages import SegmentDamaged

_SUFFIX: Final = ".suspect"

_log = structlog.stdlib.get_logger(__name__)


def mark_suspect(directory: Path, damage: SegmentDamaged) -> None:
    """Leave a mark for the writer of a generation, unless it is there; the first is logged."""
    try:
        (directory / f"{damage.name}{_SUFFIX}").touch(exist_ok=False)
    except FileExistsError:
        return
    except OSError as exc:
        _log.warning("the writer cannot be told of damage", file=damage.name, reason=str(exc))
    _log.error("segment damaged", file=damage.name, reason=str(damage))


def take_suspects(directory: Path) -> frozenset[str]:
    """The segments that were marked, whose marks are removed."""
    marks = [path for path in directory.iterdir() if path.suffix == _SUFFIX]
    for path in marks:
        path.unlink()
    return frozenset(path.name.removesuffix(_SUFFIX) for path in marks)
