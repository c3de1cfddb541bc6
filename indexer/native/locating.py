"""Where in their bodies the hits of an answer match: for the documents that are shown only, and the first matches."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from indexer.backend import MOST_LOCATED, Hit, MatchSpan
from indexer.errors import DeadlineExceeded
from indexer.native.budget import TimeBudget
from indexer.native.contents import NativeContents
from indexer.native.pattern import Pattern
from indexer.segment import Segment
from indexer.segment.documents import hash_ids

_LOCATED_MATCHES: Final = 16
_NEWLINE: Final = b"\n"


def with_matches(
    hits: Sequence[Hit], count: int, segments: Sequence[Segment[NativeContents]], pattern: Pattern, budget: TimeBudget
) -> list[Hit]:
    """The hits, so many of the first of them with their first 16 matches as far as there is time."""
    ids = [hit.id for hit in hits[: min(count, MOST_LOCATED)]]
    if not ids:
        return list(hits)
    hashes = hash_ids(ids)
    located = list(hits)
    for segment in segments:
        for place, ordinal in segment.documents.find(ids, hashes):
            if segment.is_live(ordinal):
                matches = _matches_of(segment.contents, ordinal, pattern, budget)
                located[place] = msgspec.structs.replace(hits[place], matches=matches)
    return located


def _matches_of(contents: NativeContents, ordinal: int, pattern: Pattern, budget: TimeBudget) -> tuple[MatchSpan, ...]:
    text, title = contents.text_of(ordinal), int(contents.titles[ordinal])
    body = title + len(_NEWLINE) if title else 0
    try:
        spans = pattern.regex.spans(text, 0, budget)
        shown = list(islice(((start, end) for start, end in spans if start >= body and start < end), _LOCATED_MATCHES))
    except DeadlineExceeded:
        return ()
    return tuple(_in_characters(text, body, shown))


def _in_characters(text: memoryview, body: int, spans: Sequence[tuple[int, int]]) -> Iterator[MatchSpan]:
    line, characters, reached = 1, 0, body
    for start, end in spans:
        before = bytes(text[reached:start])
        line += before.count(_NEWLINE)
        characters += len(before.decode())
        yield MatchSpan(line, characters, characters + len(bytes(text[start:end]).decode()))
        reached = start
