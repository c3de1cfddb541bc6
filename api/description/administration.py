"""The operations of `/admin/indexes`, `/admin/rebuilds`, `/admin/verify` and `/admin/dead-letters`."""

from typing import Final

from api.description import administered as examples
from api.description.operation import INDEX, JOB, LETTER, SHORTAGES, Body, Operation
from api.messages.administered import (
    DeadLetterResponse,
    DeadLettersResponse,
    IndexesResponse,
    PurgeResponse,
    RebuildReport,
    RebuildsResponse,
    ReplayResponse,
    ResumeResponse,
    SwapResponse,
    VerificationReport,
    VerificationsResponse,
)
from api.messages.administration import (
    DeadLetterParameters,
    PromoteRequest,
    PurgeParameters,
    RebuildRequest,
    ReplayRequest,
    ResumeRequest,
    RollbackRequest,
    VerifyRequest,
)
from api.messages.problems import ProblemKind

_TAG: Final = "administration"
_BODY_PROBLEMS: Final = (ProblemKind.INVALID_REQUEST, ProblemKind.TOO_LARGE, ProblemKind.UNSUPPORTED_MEDIA_TYPE)
_KAFKA_PROBLEMS: Final = (ProblemKind.STREAM_UNAVAILABLE, *SHORTAGES)
_SWAPPED: Final = Body(SwapResponse, examples.SWAPPED, "It is live; searches follow with their next query")

ADMINISTRATION: Final[tuple[Operation, ...]] = (
    Operation(
        "get",
        "/admin/indexes",
        "listIndexes",
        _TAG,
        "Each index: its generations, documents, watermark, lag, breaker and size",
        {200: Body(IndexesResponse, examples.INDEXES, "All indexes that this system runs")},
    ),
    Operation(
        "post",
        "/admin/indexes/{index}/promote",
        "promoteGeneration",
        _TAG,
        "Put a generation live, atomically: the one that waits, or that which is named, also if the gate refused it",
        {200: _SWAPPED},
        (
            *_BODY_PROBLEMS,
            ProblemKind.NOT_FOUND,
            ProblemKind.NO_SUCH_ITEM,
            ProblemKind.CONFLICT,
            ProblemKind.INDEX_UNAVAILABLE,
            *SHORTAGES,
        ),
        requests=(Body(PromoteRequest, examples.PROMOTE),),
        path_parameters=(INDEX,),
    ),
    Operation(
        "post",
        "/admin/indexes/{index}/rollback",
        "rollBack",
        _TAG,
        "Put the previous generation live again, at once; a second time goes forward again",
        {200: _SWAPPED},
        (
            *_BODY_PROBLEMS,
            ProblemKind.NOT_FOUND,
            ProblemKind.CONFLICT,
            ProblemKind.INDEX_UNAVAILABLE,
            *SHORTAGES,
        ),
        requests=(Body(RollbackRequest, examples.ROLLBACK),),
        path_parameters=(INDEX,),
    ),
    Operation(
        "post",
        "/admin/rebuilds",
        "orderRebuilds",
        _TAG,
        "Build indexes anew from the topic beside the live ones, prove them, and swap; a job for each index",
        {202: Body(RebuildsResponse, examples.ORDERED, "They are ordered, and carried out one after the other")},
        (*_BODY_PROBLEMS, ProblemKind.CONFLICT, *SHORTAGES),
        requests=(Body(RebuildRequest, examples.REBUILD),),
    ),
    Operation(
        "get",
        "/admin/rebuilds",
        "listRebuilds",
        _TAG,
        "Rebuilds that wait, run, or have ended: how far they are, and what the gate found",
        {200: Body(RebuildsResponse, examples.REBUILDS, "The newest first")},
    ),
    Operation(
        "get",
        "/admin/rebuilds/{job}",
        "getRebuild",
        _TAG,
        "One rebuild",
        {200: Body(RebuildReport, examples.REBUILD_DONE, "How far it is")},
        (ProblemKind.NO_SUCH_ITEM,),
        path_parameters=(JOB,),
    ),
    Operation(
        "delete",
        "/admin/rebuilds/{job}",
        "cancelRebuild",
        _TAG,
        "Have a rebuild end; what it has read is kept for the next one with the same settings",
        {
            200: Body(
                RebuildReport, examples.REBUILD_CANCELLED, "It has ended, or ends soon; what had ended stays as it is"
            )
        },
        (ProblemKind.NO_SUCH_ITEM, *SHORTAGES),
        path_parameters=(JOB,),
    ),
    Operation(
        "post",
        "/admin/verify",
        "orderVerifications",
        _TAG,
        "Compare indexes with the topic, document by document, or check their files; a job for each index",
        {
            202: Body(
                VerificationsResponse, examples.VERIFICATIONS, "They are ordered, and carried out one after the other"
            )
        },
        (*_BODY_PROBLEMS, ProblemKind.CONFLICT, *SHORTAGES),
        requests=(Body(VerifyRequest, examples.VERIFY),),
    ),
    Operation(
        "get",
        "/admin/verify",
        "listVerifications",
        _TAG,
        "Verifications that wait, run, or have ended, and what they found",
        {200: Body(VerificationsResponse, examples.VERIFICATIONS, "The newest first")},
    ),
    Operation(
        "get",
        "/admin/verify/{job}",
        "getVerification",
        _TAG,
        "One verification",
        {200: Body(VerificationReport, examples.VERIFIED, "What it found")},
        (ProblemKind.NO_SUCH_ITEM,),
        path_parameters=(JOB,),
    ),
    Operation(
        "delete",
        "/admin/verify/{job}",
        "cancelVerification",
        _TAG,
        "Have a verification end",
        {200: Body(VerificationReport, examples.VERIFIED, "It has ended, or ends soon; what had ended stays as it is")},
        (ProblemKind.NO_SUCH_ITEM, *SHORTAGES),
        path_parameters=(JOB,),
    ),
    Operation(
        "get",
        "/admin/dead-letters",
        "listDeadLetters",
        _TAG,
        "Records that could not be indexed, the newest first, and why",
        {200: Body(DeadLettersResponse, examples.LETTERS, "A page of them")},
        (ProblemKind.INVALID_REQUEST, *_KAFKA_PROBLEMS),
        query=DeadLetterParameters,
    ),
    Operation(
        "get",
        "/admin/dead-letters/{position}",
        "getDeadLetter",
        _TAG,
        "One dead letter, with its value, its reason and its trace",
        {200: Body(DeadLetterResponse, examples.LETTER, "The letter")},
        (ProblemKind.INVALID_REQUEST, ProblemKind.NO_SUCH_ITEM, *_KAFKA_PROBLEMS),
        path_parameters=(LETTER,),
    ),
    Operation(
        "post",
        "/admin/dead-letters/replay",
        "replayDeadLetters",
        _TAG,
        "Publish dead letters to their topic again, never over a newer version",
        {200: Body(ReplayResponse, examples.REPLAYED, "What was published, and what was not")},
        (*_BODY_PROBLEMS, ProblemKind.CONFLICT, *_KAFKA_PROBLEMS),
        requests=(Body(ReplayRequest, examples.REPLAY),),
    ),
    Operation(
        "delete",
        "/admin/dead-letters",
        "purgeDeadLetters",
        _TAG,
        "Delete dead letters for good: those up to one in its partition, or all",
        {200: Body(PurgeResponse, examples.PURGED, "They are gone")},
        (ProblemKind.INVALID_REQUEST, ProblemKind.CONFLICT, *_KAFKA_PROBLEMS),
        query=PurgeParameters,
    ),
    Operation(
        "post",
        "/admin/dead-letters/resume",
        "resumeIndexers",
        _TAG,
        "Have indexers read on that stopped because too many records are bad: those go to the dead letters",
        {200: Body(ResumeResponse, examples.RESUMED, "They read on")},
        (*_BODY_PROBLEMS, *_KAFKA_PROBLEMS),
        requests=(Body(ResumeRequest, examples.RESUME),),
    ),
)
