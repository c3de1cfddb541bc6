"""Machine code of kernels where nobody may write."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from numba import config

from indexer.kernel_cache import COMPLETE
from indexer.kernel_locator import KernelLocator

Locator: Any = KernelLocator  # numba ships no type information


def _kernel() -> None:
    """Stands for one."""


@pytest.fixture
def unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of machine code in which no file can be made; root could make one anywhere, so it is pretended."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    Path(Locator(_kernel, __file__).get_cache_path()).mkdir()

    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    return tmp_path


def test_complete_code_is_used_where_nothing_can_be_written(unwritable: Path) -> None:
    """As in an image whose files are read-only: there is nothing left to write."""
    (unwritable / COMPLETE).touch()
    locator = Locator.from_function(_kernel, __file__)
    assert Path(locator.get_cache_path()).parent == unwritable


def test_code_that_could_not_be_kept_is_not_looked_for(unwritable: Path) -> None:
    """It would be compiled anew at each start."""
    assert unwritable.exists()
    assert Locator.from_function(_kernel, __file__) is None


def test_code_of_a_copied_checkout_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is complete, and of other paths: ours is compiled, and has a directory to be kept in."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    (tmp_path / COMPLETE).touch()
    assert Path(Locator.from_function(_kernel, __file__).get_cache_path()).is_dir()


def test_kernels_are_looked_for_by_it() -> None:
    """Numba takes it for every kernel."""
    from indexer.bm25 import scoring  # noqa: F401, PLC0415 - declares kernels, which sets it

    looked_for_by = config.CACHE_LOCATOR_CLASSES  # type: ignore[attr-defined] # numba fills its settings at run time
    assert looked_for_by == f"{KernelLocator.__module__}.{KernelLocator.__qualname__}"
