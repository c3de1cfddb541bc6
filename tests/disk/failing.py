"""Fails the N-th operation on files, as SQLite's tests do: for N = 1, 2, 3 … until nothing is left to fail."""

import errno
from typing import Final

import msgspec

from tests.disk.operations import Kind, Operation


class Fault(msgspec.Struct, frozen=True):
    """How an operation fails.

    Attributes:
        error: its errno.
        lasting: whether all later ones fail too, until the disk is healed.
        short: whether of a write half is written before it fails.
    """

    error: int
    lasting: bool = False
    short: bool = False

    def __str__(self) -> str:
        """As a name in messages and parameters."""
        words = [errno.errorcode[self.error], "lasting" if self.lasting else "once", *["short"] * self.short]
        return " ".join(words)


FAULTS: Final = (
    Fault(errno.EIO),
    Fault(errno.ENOSPC, lasting=True),
    Fault(errno.ENOSPC, short=True),
)


class FailingDisk:
    """A `Watcher` that lets the N-th operation fail.

    Args:
        at: N; the first is 1.
        fault: how.

    Attributes:
        failed: what failed first, None for as long as nothing has.
    """

    def __init__(self, at: int, fault: Fault) -> None:
        self.failed: Operation | None = None
        self._left = at
        self._fault = fault
        self._healed = False

    def heal(self) -> None:
        """Let nothing fail any more."""
        self._healed = True

    def before(self, operation: Operation) -> int | None:
        """As `Watcher.before`."""
        self._left -= 1
        if self._healed or self._left > 0 or (self._left < 0 and not self._fails_on(operation)):
            return None
        self.failed = self.failed or operation
        if self._fault.short and self._left == 0 and operation.kind is Kind.WRITE and len(operation.data) > 1:
            return len(operation.data) // 2
        raise OSError(self._fault.error, "let fail by the test", str(operation.path))

    def after(self, operation: Operation) -> None:
        """As `Watcher.after`."""

    def _fails_on(self, operation: Operation) -> bool:
        """Whether an operation after the N-th fails too: on a lasting fault, or the rest of a write that was cut."""
        return self._fault.lasting or (self._fault.short and self._left == -1 and operation.kind is Kind.WRITE)
