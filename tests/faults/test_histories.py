"""Many histories of each index: experiment 20. Short forms of it are the contract tests of the same name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from indexer.registry import LOCAL_ENGINES
from tests.faults.figures import experiment
from tests.indexer.contract.histories import LEAST_STEPS, MOST_STEPS, local_histories, semantic_histories

HISTORIES = 300


def counter_examples(run: Callable[[], None]) -> list[str]:
    """What the histories have found, as short as it could be made."""
    try:
        run()
    except (AssertionError, ExceptionGroup) as exc:
        return [f"{exc}\n{getattr(exc, '__notes__', '')}"]
    return []


@pytest.mark.timeout(7_200)
def test_histories(database_dsn: str, model_path: Path) -> None:
    """Whatever an index went through, it holds what was committed, each document once."""
    histories = {name: partial(local_histories, name, HISTORIES) for name in sorted(LOCAL_ENGINES)}
    histories["semantic"] = partial(semantic_histories, database_dsn, model_path, HISTORIES)
    with experiment(f"20 histories of {LEAST_STEPS} to {MOST_STEPS} steps") as figures:
        for name, run in histories.items():
            found = counter_examples(run)
            figures.exactly(f"counter-examples in {HISTORIES} histories of {name}", len(found), 0, examples=found)
