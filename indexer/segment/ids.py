"""Where the ids of a segment lie in memory, for kernels that read them."""

from typing import Final, NamedTuple

from indexer.compiled import fixed_tuple, inlined, int64_at

START_BYTES: Final = 8
"""Of a number that says where an id begins."""


class IdRow(NamedTuple):
    """The ids of a segment.

    Attributes:
        checked: address of the flag of each page of the file, see `indexer.segment.pages`.
        starts_at: place in the file of what says where each id begins.
        text_at: place in the file of the ids.
        starts: address of the first, uint64.
        text: address of the second, uint8.
    """

    checked: int
    starts_at: int
    text_at: int
    starts: int
    text: int


ID_FIELDS: Final = len(IdRow._fields)


@inlined
def id_row(ids: int, segment: int) -> IdRow:
    """The row of a segment, in a table of them at an address."""
    return IdRow(*fixed_tuple(int64_at(ids + 8 * ID_FIELDS * segment, ID_FIELDS), ID_FIELDS))
