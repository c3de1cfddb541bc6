"""Many histories of each index: experiment 20. Short forms of it are the contract tests of the same name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from indexer.registry import LOCAL_ENGINES
from tests.faults.figures import experiment
from tests.indexer.contract.histories import LEAST_STEPS, MOST_STEPS, local_histories, semantic_histories

HISTORIES = 5_000


def counter_examples(run: Callable[[], None]) -> list[str]:
    """What the histories have found, as short as it could be made."""
    try:
        run()
    except (AssertionError, ExceptionGroup) as exc:
        return [f"{exc}\n{getattr(exc, '__notes__', '')}"]
    return []


def holds_what_was_committed(name: str, run: Callable[[], None]) -> None:
    """Whatever an index went through, it holds what was committed, each document once."""
    with experiment(f"20 histories of {name}, of {LEAST_STEPS} to {MOST_STEPS} steps") as figures:
        found = counter_examples(run)
        figures.exactly(f"counter-examples in {HISTORIES:,} histories", len(found), 0, examples=found)


@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("name", sorted(LOCAL_ENGINES))
def test_histories_of_local_indexes(name: str) -> None:
    """Each history with an index of its own."""
    holds_what_was_committed(name, partial(local_histories, name, HISTORIES))


@pytest.mark.timeout(7_200)
def test_histories_of_the_semantic_index(database_dsn: str, model_path: Path) -> None:
    """Each history with a database that is empty at first."""
    holds_what_was_committed("semantic", partial(semantic_histories, database_dsn, model_path, HISTORIES))
