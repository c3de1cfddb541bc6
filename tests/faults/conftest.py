"""The system that an experiment breaks, and the table of what was measured."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.setup.artifacts import Artifacts
from tests.faults.figures import REPORTED
from tests.faults.system import System


@pytest.fixture(scope="session")
def shared_system(artifacts: Artifacts, model_path: Path, service_directory: Path) -> Iterator[System]:
    """A whole system with its documents indexed."""
    assert model_path == artifacts.model
    with System(service_directory / "system", artifacts).running() as running:
        yield running


@pytest.fixture
def system(shared_system: System) -> System:
    """The same one for all experiments; whatever the one before did to it must have healed."""
    shared_system.wait_until(shared_system.complete, "the system is well before it is broken", 60)
    return shared_system


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show every figure beside what it must be."""
    name = ""
    if REPORTED:
        terminalreporter.section("fault experiments")
    for figure in REPORTED:
        if figure.experiment != name:
            name = figure.experiment
            terminalreporter.write_line(f"{name} (machine load {figure.machine_load} on {figure.cores} cores)")
        terminalreporter.write_line(f"  {figure}")
