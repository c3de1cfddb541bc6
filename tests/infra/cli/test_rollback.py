"""The way back to the previous generation, which is taken in a hurry."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.registry import open_catalogue
from streams.settings import Settings, variable

PROGRAM = """
import atexit, sys
from infra.cli.main import main
atexit.register(lambda: print(*(name in sys.modules for name in ("numba", "tantivy", "aiokafka"))))
sys.argv = ["embed-search", "rollback", "{index}"]
main()
"""


@pytest.mark.parametrize("index", ["bm25", "native", "tantivy"])
async def test_it_loads_no_engine_and_no_client_of_kafka(tmp_path: Path, index: str) -> None:
    """They take seconds on a machine that is busy, as it is when somebody wants to go back."""
    async with open_catalogue(index, Settings(data_dir=tmp_path)) as catalogue:
        await catalogue.ensure_live()
        await catalogue.promote(await catalogue.prepare())
    environment = {**os.environ, variable("data_dir"): str(tmp_path)}
    argv = [sys.executable, "-c", PROGRAM.format(index=index)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    swapped, loaded = done.stdout.splitlines()
    assert swapped == f"{index}: g000001 is live; g000002 to go back to"
    assert loaded == "False False False"
