"""Puts another generation live by hand: one that is ready, one that was refused, or the previous one."""

from collections.abc import Sequence

import msgspec

from indexer.errors import SwapRefused
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.phases import GenerationInfo, Phase, in_phase


class Swap(msgspec.Struct, frozen=True):
    """What a swap did.

    Attributes:
        index: its name.
        live: the generation that is live now.
        previous: the one to go back to; None where there is none.
    """

    index: str
    live: str
    previous: str | None


async def promote(index: str, catalogue: Catalogue, generation: str | None = None) -> Swap:
    """Put a generation live, atomically.

    Args:
        index: its name.
        catalogue: of the index.
        generation: to put live; the one that waits to be promoted, if none is named.

    Raises:
        SwapRefused: there is none, or it may not go live.
        IndexFault: the store does not answer, or is damaged.
    """
    await catalogue.promote(promotable(index, await catalogue.generations(), generation))
    return _swapped(index, await catalogue.generations())


async def roll_back(index: str, catalogue: Catalogue) -> Swap:
    """Put the previous generation live again; a second time goes forward again.

    Raises:
        SwapRefused: there is none.
        IndexFault: the store does not answer, or is damaged.
    """
    await catalogue.promote(previous_generation(index, await catalogue.generations()))
    return _swapped(index, await catalogue.generations())


def promotable(index: str, known: Sequence[GenerationInfo], generation: str | None) -> str:
    """The generation that an operator may put live.

    Args:
        index: its name.
        known: its generations.
        generation: named by the operator, or None for the one that waits.

    Raises:
        SwapRefused: there is none, or it is not one to go live.
    """
    chosen = generation or _only_ready(index, known)
    phase = _phase_of(index, known, chosen)
    if phase is Phase.REPLAYING:
        raise SwapRefused(f"{index} {chosen} has not read the whole topic yet: let `rebuild {index}` go on")
    if phase is Phase.RETIRED:
        raise SwapRefused(f"{index} {chosen} is not fed any more, and is about to be removed")
    return chosen


def previous_generation(index: str, known: Sequence[GenerationInfo]) -> str:
    """The generation to go back to.

    Raises:
        SwapRefused: there is none.
    """
    previous = in_phase(known, Phase.PREVIOUS)
    if not previous:
        raise SwapRefused(f"{index} has no previous generation to go back to")
    return previous[0].name


def _only_ready(index: str, known: Sequence[GenerationInfo]) -> str:
    ready = in_phase(known, Phase.READY)
    if not ready:
        raise SwapRefused(f"no generation of {index} is ready: `embed-search rebuild {index}` makes one")
    return ready[-1].name


def _phase_of(index: str, known: Sequence[GenerationInfo], generation: str) -> Phase:
    for each in known:
        if each.name == generation:
            return each.phase
    raise SwapRefused(f"{index} has no generation {generation!r}; it has {', '.join(each.name for each in known)}")


def _swapped(index: str, known: Sequence[GenerationInfo]) -> Swap:
    previous = in_phase(known, Phase.PREVIOUS)
    return Swap(index, in_phase(known, Phase.LIVE)[0].name, previous[0].name if previous else None)
