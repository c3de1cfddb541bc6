"""What a repair makes of a faulty document, by what the topic says of it."""

from pathlib import Path

import pytest

from infra.verification.judgement import Kind, judge
from infra.verification.spill import PARTS, Spill
from infra.verification.targets import Target, targets

Row = tuple[str, int, int, Kind]


def spilled(path: Path, *rows: Row) -> Spill:
    """Rows of id, partition, offset and kind; their content is their offset."""
    spill = Spill(path)
    for name, partition, offset, kind in rows:
        spill.add(name, partition, offset, content=offset, kind=kind)
    spill.flush()
    return spill


@pytest.mark.parametrize(
    ("topic", "indexed", "expected"),
    [
        ([("a", 0, 5, Kind.UPSERT)], [], [Target("a", 0, 5, present=True)]),
        ([("a", 0, 5, Kind.UPSERT)], [("a", 0, 4, Kind.UPSERT)], [Target("a", 0, 5, present=True)]),
        ([("a", 0, 5, Kind.TOMBSTONE)], [("a", 0, 4, Kind.UPSERT)], [Target("a", 0, 5, present=False)]),
        ([], [("a", 1, 4, Kind.UPSERT)], [Target("a", 1, -1, present=False)]),
        ([("a", 0, 5, Kind.UPSERT)], [("a", 1, 4, Kind.UPSERT)], [Target("a", 0, 5, present=True)]),
        (
            [("a", 0, 5, Kind.UPSERT)],
            [("a", 0, 5, Kind.UPSERT), ("a", 0, 4, Kind.UPSERT)],
            [Target("a", 0, 5, present=True)],
        ),
        (
            [("a", 0, 5, Kind.UPSERT), ("a", 1, 7, Kind.UPSERT)],
            [("a", 0, 3, Kind.UPSERT)],
            [Target("a", 0, 5, present=True)],
        ),
        (
            [("a", 0, 5, Kind.TOMBSTONE), ("a", 1, 7, Kind.UPSERT)],
            [("a", 0, 3, Kind.UPSERT)],
            [Target("a", 1, 7, present=True)],
        ),
        ([("a", 0, 5, Kind.UPSERT)], [("a", 0, 5, Kind.UPSERT)], []),
    ],
    ids=["missing", "stale", "deleted", "ghost", "elsewhere", "twice", "two-partitions", "moved", "right"],
)
def test_the_newest_record_says_how_a_document_should_be(
    topic: list[Row], indexed: list[Row], expected: list[Target], tmp_path: Path
) -> None:
    """Each faulty document once; of several partitions the one that the index has it from, if it holds the document."""
    with spilled(tmp_path / "topic", *topic) as rows, spilled(tmp_path / "index", *indexed) as held:
        found = [
            target
            for number in range(PARTS)
            for target in targets(
                judge(rows.part(number), held.part(number), held.part(number)[:0], {0: 100, 1: 100}),
                rows.part(number),
                rows,
                held,
            )
        ]
    assert found == expected
