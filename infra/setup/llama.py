"""The steps that bring llama-cpp-python, which exists as source only: compile it once, keep the wheel, install it."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib import metadata
from pathlib import Path

import msgspec

from indexer.durable import sync_directory
from infra.setup.artifacts import BUILD_CONSTRAINTS, LOCK, Artifacts
from infra.setup.command import run
from infra.setup.download import PinnedFile, fetch
from infra.setup.errors import SetupError
from infra.setup.prerequisites import missing_compilers
from infra.setup.processor import Processor, this_processor
from infra.setup.report import Advance

_PACKAGE = "llama-cpp-python"
_NINJA_PROGRESS = re.compile(r"\[(\d+)/(\d+)\]")
_DOWNLOAD_SHARE = 0.05
_TRY_WITHIN = 60.0

# Embedding needs the library alone. Leaving out the multimodal one and the helpers of llama.cpp's own programs halves
# the build; upstream's recipe has a switch for the first and forces the second on.
#
# Its code for AMX tiles ends the process with a general protection fault: GCC 12 takes the tile configuration,
# which lies on the stack, for eight bytes long and drops what is written behind them; and only the thread that starts
# ggml asks Linux for the tiles, where others use them (https://github.com/ggml-org/llama.cpp/pull/26954, open). So it
# is compiled as for a processor without; AVX-512 stays.
RECIPE = 2
_DEFINITIONS = tuple(
    part
    for definition in (
        "LLAVA_BUILD=OFF",
        "CMAKE_C_FLAGS_INIT=-U__AMX_INT8__",
        "CMAKE_CXX_FLAGS_INIT=-U__AMX_INT8__",
    )
    for part in ("-C", f"cmake.define.{definition}")
)
_FORCED = "set(LLAMA_BUILD_COMMON ON CACHE"
_WANTED = "set(LLAMA_BUILD_COMMON OFF CACHE"


class Built(msgspec.Struct, frozen=True):
    """What a kept wheel was built from and for."""

    sdist_sha256: str
    recipe: int
    processor: Processor


class LlamaWheel:
    """Have a wheel that was compiled for a machine like this one."""

    title = "llama.cpp (compiles for some minutes, once)"

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._sdist = locked_sdist(LOCK, _PACKAGE)
        self._processor = this_processor()

    def done(self) -> bool:
        """Whether a fitting wheel is kept."""
        return self.kept() is not None

    def missing(self) -> list[str]:
        """What has to be installed first."""
        return [line for line in (missing_compilers(),) if line]

    def kept(self) -> Path | None:
        """The kept wheel that runs here."""
        for directory in sorted(self._artifacts.wheels.glob("*/")):
            record = directory / "built.json"
            if record.exists() and self._fits(msgspec.json.decode(record.read_bytes(), type=Built)):
                return next(directory.glob("*.whl"), None)
        return None

    def run(self, advance: Advance) -> None:
        """Download the source, compile it, keep the wheel; an interrupted build goes on with the files it lacks."""
        sdist = fetch(self._sdist, self._artifacts.downloads, lambda done, what: advance(done * _DOWNLOAD_SHARE, what))
        workshop = self._artifacts.root / "build" / f"{self._sdist.sha256[:16]}.{RECIPE}"
        source = _unpack(sdist, workshop)
        output = workshop / "output"
        shutil.rmtree(output, ignore_errors=True)

        def on_line(line: str) -> None:
            found = _NINJA_PROGRESS.search(line)
            if found:
                done = int(found[1]) / int(found[2])
                advance(_DOWNLOAD_SHARE + (1 - _DOWNLOAD_SHARE) * done, f"{found[1]} of {found[2]} files")

        pip = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--wheel-dir", str(output)]
        pip += ["--build-constraint", str(BUILD_CONSTRAINTS), "-C", f"build-dir={workshop / 'cmake'}", *_DEFINITIONS]
        log = self._artifacts.root / "llama-build.log"
        run([*pip, str(source)], log=log, on_line=on_line, advice="run it again; what was compiled is kept")
        self._keep(output)
        shutil.rmtree(workshop)
        sdist.unlink()

    def _keep(self, output: Path) -> None:
        built = Built(self._sdist.sha256, RECIPE, self._processor)
        (output / "built.json").write_bytes(msgspec.json.encode(built, order="deterministic"))
        self._artifacts.wheels.mkdir(parents=True, exist_ok=True)
        place = self._artifacts.wheels / f"llama-{len(list(self._artifacts.wheels.iterdir())) + 1}"
        output.rename(place)
        sync_directory(place.parent)

    def _fits(self, built: Built) -> bool:
        return (
            built.sdist_sha256 == self._sdist.sha256
            and built.recipe == RECIPE
            and self._processor.runs_code_for(built.processor)
        )


class LlamaInstalled:
    """Have the kept wheel in the environment that runs us."""

    title = "llama-cpp-python"

    def __init__(self, artifacts: Artifacts, wheel: LlamaWheel) -> None:
        self._artifacts = artifacts
        self._wheel = wheel

    def done(self) -> bool:
        """Whether exactly that wheel is installed."""
        kept = self._wheel.kept()
        return kept is not None and _installed_from() == kept.as_uri()

    def missing(self) -> list[str]:
        """Nothing is needed: pip is in the locked environment, and the wheel is here."""
        return []

    def run(self, advance: Advance) -> None:
        """Install it, and try it in another process: code for the wrong machine ends its process."""
        kept = self._wheel.kept()
        if kept is None:
            raise SetupError(f"there is no wheel of {_PACKAGE} in {self._artifacts.wheels}: run it again")
        advance(-1.0, "")
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--force-reinstall", str(kept)]
        log = self._artifacts.root / "llama-install.log"
        run(pip, log=log, on_line=lambda _: None, advice="run it again")
        result = subprocess.run(
            [sys.executable, "-c", "import llama_cpp; llama_cpp.llama_backend_init()"],
            check=False,
            capture_output=True,
            text=True,
            timeout=_TRY_WITHIN,
        )
        if result.returncode != 0:
            shutil.rmtree(kept.parent)
            raise SetupError(f"the wheel {kept} does not work here and was removed: run it again\n{result.stderr}")


def locked_sdist(lock: Path, package: str) -> PinnedFile:
    """The source distribution of a package, as the lock file pins it."""
    packages = tomllib.loads(lock.read_text())["package"]
    sdist = next(entry["sdist"] for entry in packages if entry["name"] == package)
    return PinnedFile(sdist["url"], sdist["hash"].removeprefix("sha256:"), sdist["size"])


def _unpack(sdist: Path, workshop: Path) -> Path:
    source = workshop / "source"
    if source.exists():
        return source
    unfinished = workshop / "source.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(unfinished, filter="data")
        else:  # Python 3.11.0 to 3.11.3, Debian 12's among them
            archive.extractall(unfinished)  # noqa: S202 - its hash is pinned, so it holds what we looked at
    recipe = next(unfinished.glob("*/CMakeLists.txt"))
    recipe.write_text(recipe.read_text().replace(_FORCED, _WANTED))
    recipe.parent.rename(source)
    unfinished.rmdir()
    return source


def _installed_from() -> str | None:
    """The URL that the installed package came from."""
    try:
        recorded = metadata.distribution(_PACKAGE).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    return str(msgspec.json.decode(recorded)["url"]) if recorded else None
