"""The step that compiles the kernels of the engines, so that no start and no request ever waits for a compiler.

`python -m infra.setup.kernels` does it alone, which is all of set-up that an image needs.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from indexer.kernel_cache import COMPLETE, kernel_cache_directory, kernel_modules, kernels_are_complete
from infra.setup.artifacts import Artifacts
from infra.setup.command import run
from infra.setup.report import Advance


class Kernels:
    """Have the machine code of the kernels beside their sources."""

    title = "kernels"

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def done(self) -> bool:
        """Whether all were compiled from the sources as they are now."""
        return kernels_are_complete()

    def missing(self) -> list[str]:
        """Nothing is needed: the compiler is in the locked environment."""
        return []

    def run(self, advance: Advance) -> None:
        """Import them all in another process, and remove what earlier sources have left."""
        directory = kernel_cache_directory()
        for old in directory.parent.glob("kernels-*"):
            if old != directory:
                shutil.rmtree(old)
        directory.mkdir(parents=True, exist_ok=True)
        advance(-1.0, "compiling")
        argv = [sys.executable, "-c", "; ".join(f"import {module}" for module in kernel_modules())]
        run(argv, log=self._artifacts.root / "kernels.log", on_line=lambda _: None, advice="run it again")
        (directory / COMPLETE).touch()


def main() -> None:
    """Compile them, unless that is done."""
    with tempfile.TemporaryDirectory() as directory:
        step = Kernels(Artifacts(Path(directory)))
        if not step.done():
            step.run(lambda _done, _what: None)


if __name__ == "__main__":
    main()
