"""Many histories of simulated indexers: the other half of experiment 20."""

import pytest

from tests.faults.figures import experiment
from tests.indexer.simulation.world import SECONDS, simulate

SEEDS = 1_000


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_simulated_histories(*, shared: bool) -> None:
    """Whatever happens, no index is other than its watermark says, and once nothing does it is read to the end."""
    found = []
    for seed in range(SEEDS):
        try:
            simulate(seed, shared=shared)
        except AssertionError as exc:
            found.append(str(exc))
    who = "indexers that share an index" if shared else "an indexer"
    with experiment(f"20 simulated histories of {who}, of {SECONDS:.0f} s each") as figures:
        figures.exactly(f"counter-examples of {SEEDS:,} seeds", len(found), 0, examples=found[:5])
