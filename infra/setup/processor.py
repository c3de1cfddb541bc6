"""Which processors a compiled wheel runs on.

llama.cpp is compiled for the instructions of the machine at hand, which makes embedding several times as fast, and dies
of an illegal instruction anywhere else. A home directory may be shared by different machines, so each kept wheel says
what it was compiled for, and is used only where all of that is there.
"""

import platform
from pathlib import Path

import msgspec

_CPUINFO = Path("/proc/cpuinfo")
_FLAG_LINES = ("flags", "Features")  # as x86 and ARM call them


class Processor(msgspec.Struct, frozen=True):
    """A kind of machine.

    Args:
        machine: system, architecture and C library.
        flags: the instruction sets that the processor has.
    """

    machine: str
    flags: frozenset[str]

    def runs_code_for(self, other: "Processor") -> bool:
        """Whether code compiled on the other one runs here."""
        return self.machine == other.machine and other.flags <= self.flags


def this_processor(cpuinfo: Path = _CPUINFO) -> Processor:
    """The machine at hand."""
    machine = " ".join((platform.system(), platform.machine(), *platform.libc_ver())).strip()
    if not cpuinfo.exists():
        return Processor(machine, frozenset({platform.processor()}))
    for line in cpuinfo.read_text().splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in _FLAG_LINES:
            return Processor(machine, frozenset(flags.split()))
    return Processor(machine, frozenset())
