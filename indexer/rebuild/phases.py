"""What each generation of an index is to the system, told by the pointer, its number, and a record of its rebuild.

replaying   a rebuild fills it from the start of the topic; it may be continued after a crash
ready       it has proved itself, is fed like the live one, and waits to be promoted
refused     it has not proved itself; it stays for a look, until the next rebuild or promotion
live        searches see it
previous    was live before; is fed for a while, so that one can go back at once
retired     older than the live one, and neither of the two: it is removed as soon as nobody reads it
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal

import msgspec

from indexer.errors import GenerationUnusable
from indexer.generation import Pointer


class Phase(StrEnum):
    """See the top of this file."""

    REPLAYING = "replaying"
    READY = "ready"
    REFUSED = "refused"
    LIVE = "live"
    PREVIOUS = "previous"
    RETIRED = "retired"


Step = Literal["", "replay", "gate", "catch-up"]

SILENCE_SECONDS: Final = 30.0
"""After so long without a word, a rebuild was killed, or its machine sleeps."""


class RebuildRecord(msgspec.Struct, frozen=True):
    """What a rebuild says of itself, kept beside the generation that it fills.

    Attributes:
        phase: how far it is: replaying, ready or refused.
        step: what is being done: replay, gate, catch-up; empty at the end.
        started_at: when it began, seconds since the epoch.
        told_at: when it last said so.
        read: offsets that it has read.
        total: offsets that there were to read.
        per_second: offsets that it reads in a second, lately.
        reasons: why it was refused.
        goal: the offsets, by partition, up to which it will have read, but for one batch, before anybody sees what it
            fills; told before it can end, and never lower than before.
    """

    phase: Phase = Phase.REPLAYING
    started_at: float = 0.0
    told_at: float = 0.0
    read: int = 0
    total: int = 0
    per_second: float = 0.0
    reasons: tuple[str, ...] = ()
    step: Step = ""
    goal: dict[int, int] = msgspec.field(default_factory=dict)

    def works(self, now: float) -> bool:
        """Whether somebody fills the generation: whoever does says so all the time.

        Args:
            now: seconds since the epoch.
        """
        return self.phase is Phase.REPLAYING and now - self.told_at < SILENCE_SECONDS

    @property
    def seconds_left(self) -> float | None:
        """How long it will go on reading at this rate, if it reads at all."""
        return (self.total - self.read) / self.per_second if self.per_second > 0 else None

    def told(self, phase: Phase | None = None, **changes: object) -> "RebuildRecord":
        """The record with changes, told now."""
        named = {} if phase is None else {"phase": phase}
        return msgspec.structs.replace(self, told_at=time.time(), **named, **changes)


class GenerationInfo(msgspec.Struct, frozen=True):
    """One generation of an index.

    Attributes:
        name: of the generation.
        phase: what it is to the system.
        built_with: its settings, in words.
        since: when the live generation was put in its place, which is when the previous one lost it, seconds since the
            epoch; 0 for a first one.
        record: of the rebuild that made it; None for one that no rebuild made.
    """

    name: str
    phase: Phase
    built_with: str
    since: int = 0
    record: RebuildRecord | None = None


def told_phases(
    pointer: Pointer | None, built_with: Mapping[str, str], records: Mapping[str, RebuildRecord]
) -> Sequence[GenerationInfo]:
    """All generations, oldest first.

    Args:
        pointer: to the live one.
        built_with: the settings of each generation, in words, by name.
        records: of rebuilds, by the name of the generation.
    """
    return [
        GenerationInfo(
            name=name,
            phase=_phase(name, pointer, records.get(name)),
            built_with=built_with[name],
            since=pointer.swapped_at if pointer and name in (pointer.live, pointer.previous) else 0,
            record=records.get(name),
        )
        for name in sorted(built_with)
    ]


def in_phase(generations: Iterable[GenerationInfo], *phases: Phase) -> list[GenerationInfo]:
    """The generations that are in one of these phases."""
    return [generation for generation in generations if generation.phase in phases]


def may_drop(index: str, seen: GenerationInfo, generations: Iterable[GenerationInfo]) -> bool:
    """Whether a generation may be removed, now that nobody else can change what it is.

    Args:
        index: the index's name.
        seen: the generation as it was when somebody chose to remove it.
        generations: as they are now; it may be gone.

    Raises:
        GenerationUnusable: it is live.
    """
    now = next((each.phase for each in generations if each.name == seen.name), None)
    if now is Phase.LIVE:
        raise GenerationUnusable(f"generation {seen.name} of {index} is live, and is not removed")
    return now in {None, seen.phase}


def running_rebuild(generations: Sequence[GenerationInfo], now: float) -> RebuildRecord | None:
    """The record of the rebuild that fills one of these generations, if one does.

    Args:
        generations: of an index.
        now: seconds since the epoch.
    """
    records = (each.record for each in generations if each.phase is Phase.REPLAYING)
    return next((record for record in records if record is not None and record.works(now)), None)


def _phase(name: str, pointer: Pointer | None, record: RebuildRecord | None) -> Phase:
    if pointer is not None:
        if name == pointer.live:
            return Phase.LIVE
        if name == pointer.previous:
            return Phase.PREVIOUS
        # Names have numbers of equal length: what was made before the live one has had its time, or never got it.
        if name < max(pointer.live, pointer.previous or ""):
            return Phase.RETIRED
    return record.phase if record is not None else Phase.RETIRED
