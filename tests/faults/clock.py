"""A clock on the wall that jumps, for processes of ours, by a library that is preloaded into them."""

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

_SOURCE: Final = Path(__file__).with_name("jumping_clock.c")
_COMPILERS: Final = ("cc", "gcc", "clang")
_SECONDS: Final = struct.Struct("=q")


class JumpingClock:
    """The time of day of whoever has its environment; what only goes on and on, the monotonic clock, is left as it is.

    Args:
        folder: for the library, and for the file by which processes follow the clock.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._file = folder / "ahead"
        self._library = _built(folder / "jumping-clock.so")
        self._file.write_bytes(_SECONDS.pack(0))

    @property
    def environment(self) -> Mapping[str, str]:
        """For processes that shall have it."""
        return {"LD_PRELOAD": str(self._library), "FAULTS_CLOCK": str(self._file)}

    def set_ahead(self, seconds: int) -> None:
        """Let it be so far ahead of the machine's, or behind it, from this moment on."""
        with self._file.open("r+b", buffering=0) as file:  # in place: it is mapped
            file.write(_SECONDS.pack(seconds))


def _built(library: Path) -> Path:
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        pytest.fail(f"clocks cannot be made to jump without a compiler of C: {', '.join(_COMPILERS)}")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)], check=True)
    return library
