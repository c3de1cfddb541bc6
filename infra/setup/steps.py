"""Does what is not done yet, in order: the whole of set-up, free of the terminal and of the environment."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from infra.setup.errors import SetupError
from infra.setup.report import Advance, Report
from infra.supervisor.file_lock import locked

_LEAST_FREE = 2 << 30


class Step(Protocol):
    """One thing that set-up provides.

    Interrupted at any moment, even by a power cut, a step is either done or it is not, and running it again does it.
    """

    title: str

    def done(self) -> bool:
        """Whether it is there; quick and without the network."""

    def missing(self) -> list[str]:
        """What a person has to install before it can be made: a line each."""

    def run(self, advance: Advance) -> None:
        """Make it."""


def complete(steps: Sequence[Step], *, root: Path, report: Report, missing: Sequence[str] = ()) -> None:
    """Do the steps that are not done; nothing is printed when all of them are.

    Args:
        steps: in their order.
        root: the cache directory that they work in; one process at a time.
        report: where progress goes.
        missing: what a run needs besides the steps and is not there.

    Raises:
        SetupError: something is missing, or a step failed.
    """
    pending = [step for step in steps if not step.done()]
    lacking = [*missing, *(line for step in pending for line in step.missing())]
    if lacking:
        raise SetupError("\n".join(dict.fromkeys(lacking)))
    if not pending:
        return
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < _LEAST_FREE:
        raise SetupError(f"only {free >> 20} MB are free on the disk of {root}, {_LEAST_FREE >> 20} MB are needed")
    with locked(root / "setup.lock", on_wait=lambda pid: report.say(f"waiting for the set-up of process {pid}")):
        for step in pending:
            if not step.done():  # the process that we waited for may have done it
                with report.step(step.title) as advance:
                    step.run(advance)
