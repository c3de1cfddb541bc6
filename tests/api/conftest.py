"""What every test of the API runs in."""

from pathlib import Path

import pytest

from streams.settings import variable


@pytest.fixture(autouse=True)
def _data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data directory of its own, unless a test names one.

    An order to a breaker is kept there: left in a directory that tests share, it opens the breaker of another test.
    """
    monkeypatch.setenv(variable("data_dir"), str(tmp_path / "data"))
