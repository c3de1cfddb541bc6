"""Machine code of kernels where nobody may write."""

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
    """A directory of machine code in which no directory can be made: a file is in its place."""
    directory = tmp_path / "kernels"
    directory.mkdir()
    monkeypatch.setattr(config, "CACHE_DIR", str(directory))
    Path(Locator(_kernel, __file__).get_cache_path()).touch()
    return directory


def test_complete_code_is_used_where_nothing_can_be_written(unwritable: Path) -> None:
    """As in an image whose files are read-only: there is nothing left to write."""
    (unwritable / COMPLETE).touch()
    locator = Locator.from_function(_kernel, __file__)
    assert Path(locator.get_cache_path()).parent == unwritable


def test_code_that_could_not_be_kept_is_not_looked_for(unwritable: Path) -> None:
    """It would be compiled anew at each start."""
    assert unwritable.exists()
    assert Locator.from_function(_kernel, __file__) is None


def test_kernels_are_looked_for_by_it() -> None:
    """Numba takes it for every kernel."""
    from indexer.bm25 import scoring  # noqa: F401, PLC0415 - declares kernels, which sets it

    looked_for_by = config.CACHE_LOCATOR_CLASSES  # type: ignore[attr-defined] # numba fills its settings at run time
    assert looked_for_by == f"{KernelLocator.__module__}.{KernelLocator.__qualname__}"
