"""What a loss of power may leave of the indexes in our own formats: many states after each operation on files.

Experiment 4's other half, each operation let fail, is quick and runs with all tests:
`tests/indexer/segment/test_disk_faults.py`.
"""

from pathlib import Path

import pytest

from tests.faults.figures import experiment
from tests.indexer.segment.histories import WRITERS
from tests.indexer.segment.test_disk_faults import losses

DRAWS = 30


@pytest.mark.timeout(900)
def test_power_is_lost_again_and_again(tmp_path: Path) -> None:
    """Every commit that was promised is there, no other one is, and the index goes on from there by itself."""
    with experiment("power loss (4)") as measuring:
        for name in WRITERS:
            (tmp_path / name).mkdir()
            found = list(losses(tmp_path / name, name, draws=DRAWS))
            wrong = list(filter(None, found))
            measuring.at_least(f"states that {name} was found in", len(found), 1_000)
            measuring.exactly(f"of them wrong, {name}", len(wrong), 0, examples=wrong[:5])
