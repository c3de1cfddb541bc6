"""The deep check of the indexes on local files: every checksum of every file, and a sample of BM25 scores."""

from collections.abc import Callable, Sequence

from indexer.bm25 import INDEX as BM25
from indexer.bm25.audit import audit_scores
from indexer.errors import GenerationUnusable
from indexer.generation import Generation, live_generation
from indexer.registry import LOCAL_ENGINES, indexes_directory
from indexer.reports.files import FilesReport
from indexer.reports.scores import ScoreAudit
from streams.settings import Settings


def check_deep(
    settings: Settings, indexes: Sequence[str], *, sample: int, on_step: Callable[[str], None]
) -> list[FilesReport]:
    """Check the live generations of local indexes; they may be written to and searched meanwhile.

    Args:
        settings: say where the indexes lie.
        indexes: to check.
        sample: documents of bm25 whose scores are compared.
        on_step: told what is about to be done.
    """
    return [_check(settings, index, sample, on_step) for index in indexes]


def _check(settings: Settings, index: str, sample: int, on_step: Callable[[str], None]) -> FilesReport:
    try:
        generation = live_generation(indexes_directory(settings), index)
        if generation is None:
            return FilesReport(index, "", ["the index was not built yet"])
        on_step(f"{index}: checksums")
        damage = [each.reason for each in LOCAL_ENGINES[index].find_damage(generation)]
        return FilesReport(index, generation.name, damage, _scores(index, generation, damage, sample, on_step))
    except GenerationUnusable as exc:
        return FilesReport(index, "", [str(exc)])


def _scores(
    index: str, generation: Generation, damage: Sequence[str], sample: int, on_step: Callable[[str], None]
) -> ScoreAudit | None:
    if index != BM25 or damage:
        return None
    on_step(f"{index}: scores")
    return audit_scores(generation, sample)
