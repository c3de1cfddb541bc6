"""What an operator may ask of `/admin/indexes`, `/admin/rebuilds`, `/admin/verify` and `/admin/dead-letters`."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from indexer.jobs.job import GOLDEN_QUERIES
from indexer.rebuild.options import MAX_QUERY_CHARACTERS, GateBounds, Promotion

IndexName = Literal["bm25", "tantivy", "native", "semantic"]

MAX_POSITIONS: Final = 10_000
MAX_LETTERS: Final = 1_000
POSITION: Final = r"^[0-9]{1,9}:[0-9]{1,18}$"

_BOUNDS: Final = GateBounds()
_NOT_BLANK: Final = {"minLength": 1, "pattern": r"\S"}

Indexes = Annotated[list[IndexName], Meta(min_length=1, max_length=16, description="Their names")]
Position = Annotated[str, Meta(pattern=POSITION, description="Where a dead letter lies: partition:offset")]
ErrorClass = Annotated[str, Meta(max_length=100)]
LetterIndex = Literal["", "*", "bm25", "tantivy", "native", "semantic", "unknown"]


class PromoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /admin/indexes/{index}/promote`.

    Attributes:
        generation: to put live; left out, the one that waits to be promoted.
    """

    generation: Annotated[str, Meta(pattern="^g[0-9]{6}$")] | None = None


class RollbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /admin/indexes/{index}/rollback`, which has nothing to say."""


class JudgedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A golden query.

    Attributes:
        query: as a client would send it.
        relevant: grade by id of the documents that answer it; empty where nobody has judged.
    """

    query: Annotated[str, Meta(max_length=MAX_QUERY_CHARACTERS, extra_json_schema=_NOT_BLANK)]
    relevant: dict[str, Annotated[int, Meta(ge=0, le=1_000)]] = msgspec.field(default_factory=dict)


class RebuildRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /admin/rebuilds`.

    Attributes:
        indexes: to build anew, one after the other, under the settings of their indexers.
        promote: whether a generation that has proved itself goes live at once, or waits.
        golden: queries that both generations are asked.
        sample: whether a sample of recent searches is asked where there are none.
        min_overlap: least share of the live generation's best ten documents that the new one must find as well.
        max_ndcg_drop: how much lower the mean nDCG@10 of judged queries may be.
        max_latency_ratio: how much slower the median query may be.
    """

    indexes: Indexes
    promote: Promotion = "auto"
    golden: Annotated[list[JudgedQuery], Meta(max_length=GOLDEN_QUERIES)] = msgspec.field(default_factory=list)
    sample: bool = True
    min_overlap: Annotated[float, Meta(ge=0, le=1)] = _BOUNDS.min_overlap
    max_ndcg_drop: Annotated[float, Meta(ge=0, le=1)] = _BOUNDS.max_ndcg_drop
    max_latency_ratio: Annotated[float, Meta(ge=1, le=1_000_000)] = _BOUNDS.max_latency_ratio


class VerifyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /admin/verify`.

    Attributes:
        indexes: to verify; all that the system runs when left out (with `deep`, all local ones).
        repair: have the running indexers put right what is found; not with `deep`.
        deep: check every file of the local indexes instead, and scores of bm25.
        patience: seconds to wait for an indexer to take up a repair.
        sample: documents to score, with `deep`.
        shown: documents to name of each class of fault.
    """

    indexes: Indexes | None = None
    repair: bool = False
    deep: bool = False
    patience: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    sample: Annotated[int, Meta(ge=1, le=10_000)] = 100
    shown: Annotated[int, Meta(ge=0, le=1_000)] = 10


class DeadLetterParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query string of `GET /admin/dead-letters`.

    Attributes:
        index: only what this index could not take; `*` for what none could.
        error: only of this error class, such as `not-json`.
        limit: how many to return.
        before: only older ones than this; the `before` of the page before.
    """

    index: LetterIndex = ""
    error: ErrorClass = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LETTERS)] = 100
    before: Position | None = None


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /admin/dead-letters/replay`: name positions, or say `all`.

    Attributes:
        positions: of the letters.
        all: all there are, or all that `index` and `error` choose.
        index: only what this index could not take; `*` for what none could.
        error: only of this error class.
        dry_run: say what would be replayed, and publish nothing.
    """

    positions: Annotated[list[Position], Meta(max_length=MAX_POSITIONS)] = msgspec.field(default_factory=list)
    all: bool = False
    index: LetterIndex = ""
    error: ErrorClass = ""
    dry_run: bool = False


class PurgeParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query string of `DELETE /admin/dead-letters`: name the last, or say `all`.

    Attributes:
        through: the last to delete in its partition, with all that are older.
        all: all there are now.
    """

    through: Position | None = None
    all: bool = False


class ResumeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /admin/dead-letters/resume`.

    Attributes:
        indexes: whose indexers are to read on; all that the system runs when left out.
    """

    indexes: Indexes | None = None
