"""Judging an index by the topic: each class by hand, and any history against a plain account of the rules."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.verification.judgement import NO_OFFSET, ROW, Judgement, Kind, Rows, judge, newest_versions

WATERMARK = {0: 100, 1: 100}


class Row(NamedTuple):
    """A row by the name of its document."""

    name: str
    offset: int
    partition: int = 0
    content: int = 7
    kind: Kind = Kind.UPSERT


def rows(given_rows: Iterable[Row]) -> Rows:
    """As `Spill` makes them; the place of an id is the id itself."""
    made = []
    for row in given_rows:
        digest = blake2b(row.name.encode(), digest_size=16).digest()
        high, low = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
        made.append((high, low, row.offset, row.content, ord(row.name), row.partition, row.kind))
    return np.array(made, ROW)


def judged(topic: Sequence[Row], indexed: Sequence[Row], refused: Sequence[Row] = ()) -> Judgement:
    """The judgement of these rows."""
    return judge(rows(topic), rows(indexed), rows(refused), WATERMARK)


def faults(judgement: Judgement) -> dict[str, list[str]]:
    """The names of the documents in each class."""
    classes = ("missing", "stale", "extra", "different")
    named = {name: sorted(map(chr, getattr(judgement, name).rows["place"].tolist())) for name in classes}
    return {name: found for name, found in named.items() if found}


@pytest.mark.parametrize(
    ("topic", "indexed", "found"),
    [
        ([], [], {}),
        ([Row("a", 1)], [Row("a", 1)], {}),
        ([Row("a", 1)], [], {"missing": ["a"]}),
        ([Row("a", 1), Row("a", 5)], [Row("a", 1)], {"stale": ["a"]}),
        ([Row("a", 1, content=8)], [Row("a", 1)], {"different": ["a"]}),
        ([Row("a", 1)], [Row("a", 2)], {"different": ["a"]}),
        ([], [Row("a", 1)], {"extra": ["a"]}),
        ([Row("a", 5, kind=Kind.TOMBSTONE)], [Row("a", 1)], {"extra": ["a"]}),
        ([Row("a", 5, kind=Kind.TOMBSTONE)], [Row("a", 5)], {"extra": ["a"]}),
        ([Row("a", 5, kind=Kind.TOMBSTONE)], [], {}),
        ([Row("a", 1)], [Row("a", 1), Row("a", 1)], {"extra": ["a"]}),
        ([Row("a", 5)], [Row("a", 5), Row("a", 1)], {"extra": ["a"]}),
        # Records at and behind the watermark: whatever the index has.
        ([Row("a", 1), Row("a", 100)], [], {}),
        ([Row("a", 1), Row("a", 100)], [Row("a", 1)], {}),
        ([Row("a", 100, kind=Kind.TOMBSTONE)], [Row("a", 1), Row("a", 0)], {}),
        ([Row("a", 99)], [], {"missing": ["a"]}),
        ([Row("a", 3, partition=2)], [], {}),
        # Versions in two partitions have no order.
        ([Row("a", 1), Row("a", 9, 1)], [Row("a", 1)], {}),
        ([Row("a", 1), Row("a", 9, 1)], [Row("a", 9, 1)], {}),
        ([Row("a", 1), Row("a", 9, 1)], [], {"missing": ["a"]}),
        ([Row("a", 1), Row("a", 9, 1)], [Row("a", 8, 1)], {"stale": ["a"]}),
        ([Row("a", 1), Row("a", 9, 1, kind=Kind.TOMBSTONE)], [], {}),
        ([Row("a", 1), Row("a", 9, 1, kind=Kind.TOMBSTONE)], [Row("a", 8, 1)], {"stale": ["a"]}),
        ([Row("a", 1), Row("a", 9, 1, kind=Kind.TOMBSTONE)], [Row("a", 9, 1)], {"different": ["a"]}),
        # The newest record was refused by all.
        ([Row("a", 1), Row("a", 5, kind=Kind.UNREADABLE)], [Row("a", 1)], {}),
        ([Row("a", 5, kind=Kind.UNREADABLE)], [], {}),
        ([Row("a", 5, kind=Kind.UNREADABLE), Row("a", 6)], [], {"missing": ["a"]}),
        ([Row("a", 5, kind=Kind.UNREADABLE)], [Row("a", 7)], {"extra": ["a"]}),
        # Others do not matter to a document.
        ([Row("a", 1), Row("b", 2), Row("c", 3)], [Row("a", 1), Row("c", 2)], {"missing": ["b"], "stale": ["c"]}),
    ],
)
def test_each_class_by_hand(topic: list[Row], indexed: list[Row], found: dict[str, list[str]]) -> None:
    """The newest record that was not refused decides, unless it may have come after the snapshot."""
    assert faults(judged(topic, indexed)) == found


@pytest.mark.parametrize(
    ("refused", "found"),
    [
        ([], {"missing": ["b"], "stale": ["a"]}),
        ([Row("a", 5), Row("b", 6)], {}),
        ([Row("a", 4), Row("b", 7)], {"missing": ["b"], "stale": ["a"]}),
        ([Row("b", 5), Row("a", 6)], {"missing": ["b"], "stale": ["a"]}),
        ([Row("a", 5, partition=1), Row("b", 6)], {"stale": ["a"]}),
    ],
)
def test_an_index_may_lack_what_it_has_refused(refused: list[Row], found: dict[str, list[str]]) -> None:
    """The very record that is the newest, and no other."""
    judgement = judged([Row("a", 5), Row("b", 6)], [Row("a", 1)], refused)
    assert faults(judgement) == found
    assert judgement.refused == 2 - sum(map(len, found.values()))


def test_documents_are_told_apart_by_all_bits_of_their_hash() -> None:
    """Half of them may be the same by chance."""
    topic, indexed = rows([Row("a", 1), Row("b", 2)]), rows([Row("a", 1)])
    for half in ("high", "low"):
        one, other = topic.copy(), indexed.copy()
        one[half], other[half] = 5, 5
        assert faults(judge(one, other, rows([]), WATERMARK)) == {"missing": ["b"]}


def test_faults_carry_both_positions() -> None:
    """What the index has, and what the topic has in the same partition."""
    judgement = judged([Row("a", 1), Row("b", 9), Row("c", 4)], [Row("b", 8), Row("c", 5), Row("d", 2, 1)])
    assert [judgement.missing.indexed.tolist(), judgement.missing.topic.tolist()] == [[NO_OFFSET], [1]]
    assert [judgement.stale.indexed.tolist(), judgement.stale.topic.tolist()] == [[8], [9]]
    assert [judgement.different.indexed.tolist(), judgement.different.topic.tolist()] == [[5], [4]]
    assert [judgement.extra.indexed.tolist(), judgement.extra.topic.tolist()] == [[2], [NO_OFFSET]]


def test_what_is_not_judged_is_counted() -> None:
    """Documents, not records."""
    judgement = judged([Row("a", 100), Row("a", 101), Row("b", 1), Row("b", 100, 1)], [])
    assert (judgement.changing, judgement.refused) == (2, 0)


def plain(topic: Sequence[Row], indexed: Sequence[Row], refused: Sequence[Row]) -> dict[str, list[str]]:
    """The rules, one document after the other."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted({row.name for row in (*topic, *indexed)}):
        newest = {row.partition: row for row in sorted(topic, key=lambda row: row.offset) if row.name == name}
        copies = sorted((row for row in indexed if row.name == name), key=lambda row: -row.offset)
        if any(row.offset >= WATERMARK.get(row.partition, 0) for row in newest.values()):
            continue
        declined = {(row.partition, row.offset) for row in refused if row.name == name}
        excused = any(r.kind is Kind.UNREADABLE or (r.partition, r.offset) in declined for r in newest.values())
        if not copies:
            if newest and all(row.kind is Kind.UPSERT for row in newest.values()) and not excused:
                found["missing"].append(name)
            continue
        verdict = plain_verdict(copies[0], newest, excused=excused)
        if verdict:
            found[verdict].append(name)
        found["extra"] += [name] * (len(copies) - 1)
    return {verdict: sorted(names) for verdict, names in found.items() if names}


def plain_verdict(copy: Row, newest: dict[int, Row], *, excused: bool) -> str:
    """Of one document that the index has."""
    beside = newest.get(copy.partition)
    older = beside is not None and copy.offset < beside.offset
    if excused and older:
        return ""
    if not any(row.kind is Kind.UPSERT for row in newest.values()):
        return "extra"
    if older:
        return "stale"
    return "" if beside == copy else "different"


names = st.sampled_from("abcd")
offsets = st.integers(0, 6) | st.integers(98, 101)
partitions = st.integers(0, 2)
contents = st.integers(7, 8)


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Records, one at each position."""
    places = draw(st.lists(st.tuples(partitions, offsets), unique=True, max_size=12))
    return [Row(draw(names), o, p, draw(contents), draw(st.sampled_from(Kind))) for p, o in places]


@settings(max_examples=500, deadline=None)
@given(
    histories(),
    st.lists(
        st.builds(Row, names, offsets, partitions, contents, st.just(Kind.UPSERT)),
        max_size=8,
        unique_by=lambda r: (r.name, r.offset),
    ),
    st.lists(st.builds(Row, names, offsets, partitions, contents, st.just(Kind.UPSERT)), max_size=4),
)
def test_any_history_is_judged_by_the_rules(topic: list[Row], indexed: list[Row], refused: list[Row]) -> None:
    """Arrays and loops agree."""
    assert faults(judged(topic, indexed, refused)) == plain(topic, indexed, refused)


@given(histories())
def test_only_the_newest_versions_count(topic: list[Row]) -> None:
    """Leaving out others early changes nothing, once or twice."""
    thinned = newest_versions(rows(topic))
    assert len(thinned) == len({(row.name, row.partition) for row in topic})
    assert np.array_equal(newest_versions(thinned), thinned)
    assert np.array_equal(newest_versions(rows(reversed(topic))), thinned)
