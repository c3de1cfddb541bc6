"""The supervisor's side of the guard process, see `infra.supervisor.guard`."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_GUARD = Path(__file__).with_name("guard.py")
_GUARD_WITHIN = 10.0


class Guard:
    """A process that outlives this one just long enough to end the process groups that it was told of."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", str(_GUARD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process:
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate(timeout=_GUARD_WITHIN)
            self._process = None

    @contextlib.contextmanager
    def watching(self, group: int, death_signal: signal.Signals) -> Iterator[None]:
        """Have a process group ended if this process dies within the block."""
        self._tell(f"+{group} {int(death_signal)}\n")
        try:
            yield
        finally:
            self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        if self._process and self._process.stdin:
            with contextlib.suppress(BrokenPipeError):  # somebody killed it: the kernel's signal remains
                self._process.stdin.write(line)
                self._process.stdin.flush()
