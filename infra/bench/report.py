"""What a comparison found: the form of its JSON, from which the table is drawn too."""

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from infra.bench.building import MEGABYTE, Build
from infra.bench.machine import Machine
from infra.bench.timing import percentile

_P99 = 99.0
_SHOWN_DIFFERENCES = 10


class IndexFigures(msgspec.Struct, frozen=True):
    """What an index took and takes.

    Attributes:
        text_mb: what it holds, titles and bodies, 10^6 bytes.
        seconds: time to build it.
        mb_per_core_second: text that one core indexes in a second, 10^6 bytes.
        size_mb: on disk, 10^6 bytes; None where it is only in memory.
        size_to_text: that size, the text's being 1.
        reader_mb: anonymous memory that opening it and running the queries added to a fresh process, 10^6 bytes; None
            where it was not measured.
    """

    text_mb: float
    seconds: float
    mb_per_core_second: float
    size_mb: float | None
    size_to_text: float | None
    reader_mb: float | None


class Row(msgspec.Struct, frozen=True):
    """One engine on one set of documents.

    Attributes:
        engine: its name, and its version where it is not ours.
        documents: how many it searched.
        index: its index; None where it has none, or has the same as the row before.
        median_ms: of the queries' times.
        p99_ms: of the queries' times, the nearest rank.
        ratio: its median, our median on the same documents being 1.
    """

    engine: str
    documents: int
    index: IndexFigures | None
    median_ms: float
    p99_ms: float
    ratio: float


class Agreement(msgspec.Struct, frozen=True):
    """Whether our answers are those of a peer.

    Attributes:
        peer: its name.
        what: that was compared.
        queries: how many were compared.
        differing: how many had different answers.
        examples: the first of those queries.
    """

    peer: str
    what: str
    queries: int
    differing: int
    examples: Sequence[str]


class Report(msgspec.Struct, frozen=True):
    """A whole comparison.

    Attributes:
        index: the engine of ours that was compared.
        machine: where it ran.
        queries: how many.
        limit: hits of each answer.
        rows: the engines.
        agreements: between ours and the peers.
        notes: what a reader should know, such as a peer that is not installed.
    """

    index: str
    machine: Machine
    queries: int
    limit: int
    rows: Sequence[Row]
    agreements: Sequence[Agreement]
    notes: Sequence[str]

    @property
    def agrees(self) -> bool:
        """Whether no answer differed."""
        return not any(each.differing for each in self.agreements)


def make_row(
    engine: str, documents: int, times: Sequence[float], ours: Sequence[float], *, index: IndexFigures | None = None
) -> Row:
    """Sum up an engine.

    Args:
        engine: its name.
        documents: how many it searched.
        times: of its queries, milliseconds.
        ours: of our engine on the same documents, milliseconds.
        index: its index, as in `Row`.
    """
    return Row(engine, documents, index, median(times), percentile(times, _P99), median(times) / median(ours))


def index_figures(build: Build, *, reader_bytes: int | None = None) -> IndexFigures:
    """Sum up an index.

    Args:
        build: what building it took.
        reader_bytes: as in `IndexFigures.reader_mb`, in bytes.
    """
    return IndexFigures(
        text_mb=build.text_bytes / MEGABYTE,
        seconds=build.seconds,
        mb_per_core_second=build.megabytes_per_core_second,
        size_mb=_megabytes(build.index_bytes),
        size_to_text=build.index_to_text,
        reader_mb=_megabytes(reader_bytes),
    )


def make_agreement(peer: str, what: str, verdicts: Iterable[tuple[str, bool]]) -> Agreement:
    """Sum up a comparison of answers.

    Args:
        peer: whom ours were compared with.
        what: was compared.
        verdicts: each query, and whether the answers agree.
    """
    told = list(verdicts)
    differing = [query for query, agrees in told if not agrees]
    return Agreement(peer, what, len(told), len(differing), differing[:_SHOWN_DIFFERENCES])


def _megabytes(size: int | None) -> float | None:
    return None if size is None else size / MEGABYTE
