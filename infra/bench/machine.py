"""The machine that figures were measured on; without it they mean nothing."""

import os
import platform
from pathlib import Path
from typing import Final

import msgspec

_CPU_FACTS: Final = Path("/proc/cpuinfo")


class Machine(msgspec.Struct, frozen=True):
    """Where a comparison ran.

    Attributes:
        cpu: its model, as the system names it.
        cores: logical processors that this process may use.
        system: operating system and architecture.
        python: its version.
    """

    cpu: str
    cores: int
    system: str
    python: str


def this_machine() -> Machine:
    """Describe this machine."""
    return Machine(
        _cpu_model(),
        _usable_cores(),
        f"{platform.system()} {platform.release()} {platform.machine()}",
        platform.python_version(),
    )


def _cpu_model() -> str:
    if _CPU_FACTS.exists():
        for line in _CPU_FACTS.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
