"""The machine that figures were measured on; without it they mean nothing."""

import platform
from pathlib import Path
from typing import Final

import msgspec

from indexer.resources import usable_processors

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
        usable_processors(),
        f"{platform.system()} {platform.release()} {platform.machine()}",
        platform.python_version(),
    )


def _cpu_model() -> str:
    if _CPU_FACTS.exists():
        for line in _CPU_FACTS.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
