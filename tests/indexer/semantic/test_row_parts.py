"""Tables cut into parts at places that other rows do not move."""

import struct
from collections.abc import Iterable
from random import Random

import pytest

from indexer.semantic.row_parts import HEADER, TRAILER, RowParts

Row = tuple[int, int, bytes | None]


class Kept:
    """A sink that keeps parts in memory."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def begin_part(self) -> None:
        """As `PartSink.begin_part`."""
        self.parts.append(b"")

    def write(self, data: bytes) -> None:
        """As `PartSink.write`."""
        self.parts[-1] += data

    def end_part(self) -> None:
        """As `PartSink.end_part`."""


def field(value: bytes | None) -> bytes:
    """A field of a tuple; None is NULL."""
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def copied(rows: Iterable[Row], *, routed: bool = True) -> bytes:
    """What PostgreSQL sends for rows of one column, with the two that route them or without."""
    tuples = []
    for partition, offset, value in rows:
        routing = field(struct.pack(">i", partition)) + field(struct.pack(">q", offset)) if routed else b""
        tuples.append(struct.pack(">h", 3 if routed else 1) + routing + field(value))
    return HEADER + b"".join(tuples) + TRAILER


def parts_of(data: bytes, *, piece: int = 1 << 20, rows: int = 8) -> list[bytes]:
    """The parts of a copy that comes in pieces of a size."""
    kept = Kept()
    cutting = RowParts(kept, rows=rows)
    for start in range(0, len(data), piece):
        cutting.feed(data[start : start + piece])
    cutting.finish()
    return kept.parts


@pytest.mark.parametrize("piece", [1, 7, 100, 1 << 20])
def test_parts_are_whole_copies_of_all_rows_however_they_come(piece: int) -> None:
    """Each has header and trailer, none has the routing, and together they are all rows in order."""
    dice = Random(piece)
    rows: list[Row] = [
        (0, offset, dice.choice([None, b"", dice.randbytes(dice.randrange(50))])) for offset in range(99)
    ]
    parts = parts_of(copied(rows), piece=piece)
    assert len(parts) > 3
    assert all(part.startswith(HEADER) and part.endswith(TRAILER) for part in parts)
    bodies = b"".join(part[len(HEADER) : -len(TRAILER)] for part in parts)
    assert HEADER + bodies + TRAILER == copied(rows, routed=False)


def test_rows_of_one_position_stay_together() -> None:
    """The passages of a document are in one part."""
    rows: list[Row] = [(0, offset, bytes([number])) for offset in range(50) for number in range(3)]
    sizes = [len(part) - len(HEADER) - len(TRAILER) for part in parts_of(copied(rows))]
    row = len(copied(rows[:1], routed=False)) - len(HEADER) - len(TRAILER)
    assert all(size % (3 * row) == 0 for size in sizes)


def test_a_change_moves_no_other_part() -> None:
    """Rows that come, go or change leave all parts as they were but their own."""
    rows: list[Row] = [(0, offset, str(offset).encode()) for offset in range(2_000)]
    before = set(parts_of(copied(rows)))
    changed = [row for row in rows if row[1] not in {5, 700, 701}]
    changed[1_000] = (*changed[1_000][:2], b"another")
    after = set(parts_of(copied([*changed, (0, 2_000, b"new"), (1, 0, b"other partition")])))
    assert len(before) > 100
    assert len(before - after) <= 8


def test_a_table_without_rows_has_one_part() -> None:
    """It restores to no rows."""
    assert parts_of(copied([])) == [HEADER + TRAILER]


@pytest.mark.parametrize("end", [5, len(HEADER), len(HEADER) + 10, -1, -3])
def test_a_copy_that_was_cut_short_is_noticed(end: int) -> None:
    """Wherever it ends."""
    with pytest.raises(ValueError, match="cut short"):
        parts_of(copied([(0, 1, b"value")])[:end])


def test_another_format_is_refused() -> None:
    """A header with flags, such as that of a COPY with OIDs."""
    with pytest.raises(ValueError, match="not a copy"):
        parts_of(HEADER[:11] + b"\0\1\0\0" + HEADER[15:] + TRAILER)
