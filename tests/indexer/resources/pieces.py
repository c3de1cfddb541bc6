"""A heap full of pieces, nearly all of which are free: what free() alone does not give back to the kernel."""

from indexer.resources.memory import process_bytes

PIECE_BYTES = 600
"""Above what Python's own allocator keeps for itself."""

_PIECES = 200_000
GIVEN_BACK_BYTES = 60 << 20
"""Less than all of them take."""


def freed_pieces() -> tuple[bytes, int]:
    """Allocate small pieces, and free all but the last.

    Returns:
        The last one, to be held, and the memory of the process in bytes while all of them were there.
    """
    pieces = [bytes(PIECE_BYTES) for _ in range(_PIECES)]
    return pieces[-1], process_bytes()
