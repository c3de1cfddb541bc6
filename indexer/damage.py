"""What a check of an index's files finds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from indexer.generation import Generation


class Damage(msgspec.Struct, frozen=True):
    """A file that is not what was written.

    Attributes:
        file: that is damaged or gone.
        reason: what is wrong with it.
    """

    file: Path
    reason: str


FindDamage = Callable[[Generation], Iterator[Damage]]
"""Reads every file of what a generation has committed and holds it against its checksums, while a writer may go on."""
