"""Where the machine code of the kernels is kept: one directory for each state of the sources of all kernels together.

Numba itself looks at the file of a kernel alone, and would go on using machine code into which it has compiled a
function of another file that has changed since.
"""

import hashlib
import sys
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parent
_MARK: Final = b"indexer.compiled"
"""What the source of a kernel imports."""

COMPLETE: Final = "complete"
"""The file that says that the directory has the machine code of all kernels."""


def kernel_modules() -> list[str]:
    """Names of the modules that hold kernels, or functions that are compiled into some."""
    return [".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts) for path, _ in _sources()]


def kernel_cache_directory() -> Path:
    """Directory of the machine code for the sources as they are now; beside them, since it is made from them."""
    digest = hashlib.sha256(sys.version.encode())
    for path, source in _sources():
        digest.update(path.name.encode() + b"\0" + source + b"\0")
    return _PACKAGE / "__pycache__" / f"kernels-{digest.hexdigest()[:16]}"


def kernels_are_complete() -> bool:
    """Whether all were compiled from the sources as they are now."""
    return (kernel_cache_directory() / COMPLETE).exists()


def _sources() -> list[tuple[Path, bytes]]:
    paths = sorted(path for path in _PACKAGE.rglob("*.py") if path != Path(__file__))
    sources = [(path, path.read_bytes()) for path in paths]
    return [(path, source) for path, source in sources if path.stem == "compiled" or _MARK in source]
