"""What a check of the files of a local index found."""

from collections.abc import Sequence

import msgspec

from indexer.reports.scores import ScoreAudit


class FilesReport(msgspec.Struct, frozen=True):
    """What was found in the live generation of an index.

    Attributes:
        index: its name.
        generation: that was checked; empty where none is live.
        damage: what is wrong with its files.
        scores: of bm25, when its files are sound.
    """

    index: str
    generation: str
    damage: Sequence[str]
    scores: ScoreAudit | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage and (self.scores is None or not self.scores.disagreements)
