"""Files of the local indexes are damaged, each kind in each way: experiment 14."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.generation import Generation, live_generation
from indexer.registry import LOCAL_ENGINES, indexes_directory
from infra.setup.artifacts import Artifacts
from tests.faults.corpus import searches
from tests.faults.figures import experiment
from tests.faults.load import load
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.test_kills import faulty, settings_of
from tests.faults.test_local_indexes import counted
from tests.system.processes import run_command
from tests.system.test_damage import KINDS, data_files, live_directory

DOCUMENTS = 2_000
TIMES = 20
RATE = 20
HEALS_WITHIN_SECONDS = 300.0
SEED = 14


@pytest.fixture(scope="module")
def system(artifacts: Artifacts, service_directory: Path) -> Iterator[System]:
    """A system with enough documents for files of some pages."""
    with System(service_directory / "damage", artifacts).running() as running:
        running.publish(0, DOCUMENTS, seconds=300)
        yield running


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("index", sorted(LOCAL_ENGINES))
def test_every_damage_is_found(system: System, index: str, tmp_path: Path) -> None:
    """In every kind of file, wherever it is, on a copy."""
    dice, settings = random.Random(f"{SEED} {index}"), settings_of(system)
    live = live_generation(indexes_directory(settings), index)
    assert live is not None
    kinds = {path.suffix: path for path in data_files(settings, index)}
    missed = Counter[str]()
    for suffix, path in kinds.items():
        for kind, damage in KINDS.items():
            for _ in range(TIMES):
                copied = Generation(live.name, tmp_path / "copy", live.settings)
                shutil.copytree(live.directory, copied.directory)
                damaged = copied.directory / path.relative_to(live.directory)
                damage(damaged, dice)
                named = [each.file for each in LOCAL_ENGINES[index].find_damage(copied)]
                missed[f"{kind} of a {suffix} file"] += named != [damaged]
                shutil.rmtree(copied.directory)
    with experiment(f"14 {index}: {len(KINDS)} kinds of damage, {TIMES} times to each kind of file") as figures:
        figures.at_least("cases", len(kinds) * len(KINDS) * TIMES, TIMES * len(KINDS))
        figures.exactly("of them not found by name", missed.total(), 0, examples=[str(+missed)])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize("index", sorted(LOCAL_ENGINES))
def test_a_damaged_index_heals_under_load(system: System, index: str, state: str) -> None:
    """Damaged while its indexer runs, or before it starts: the others go on, and it comes back without anybody."""
    dice, settings, bodies = random.Random(f"{SEED} {index} {state}"), settings_of(system), searches(50)
    healthy = system.healthy(bodies, rate=RATE)
    documents = counted(system, index)
    healed, unnamed = list[float](), list[str]()
    with load([system.port], bodies, rate=RATE, seconds=len(KINDS) * HEALS_WITHIN_SECONDS) as sending:
        for damage in KINDS.values():
            if state == "stopped":
                system.stop(index)
            path = dice.choice(data_files(settings, index))
            damage(path, dice)
            if state == "running":
                verified = run_command(["verify", "--deep"], system.environment)
                told = verified.stdout + system.programs[index].output  # it may have come upon it meanwhile, in a merge
                unnamed += [path.name] if path.name not in told else []
                system.stop(index)
            system.start(index)
            healed.append(heal(system, index, path, documents))
        seen = sending.stop()
    others = seen.where(lambda one: any(status != "ok" for name, status in one.methods.items() if name != index))
    wrong = asyncio.run(faulty(settings))
    with experiment(f"14 {index} damaged {len(KINDS)} times under {RATE} searches/s, its indexer {state}") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
        figures.at_most("answers without another method", len(others), 0.01 * len(seen))
        figures.exactly(
            "damaged files that neither verify --deep named, nor the indexer", len(unnamed), 0, examples=unnamed
        )
        figures.at_most("longest time until it is whole again", max(healed), HEALS_WITHIN_SECONDS, "s")
        for name, found in wrong.items():
            figures.exactly(f"documents other than in the topic, in {name}", len(found), 0, examples=found[:3])


def heal(system: System, index: str, path: Path, documents: int | None) -> float:
    """The seconds until a damaged file is out of the way and every document is there."""
    settings = settings_of(system)

    def whole() -> bool:
        is_live = path.exists() and live_directory(settings, index) in path.parents
        return not is_live and caught_up(system) and counted(system, index) == documents and system.complete()

    return system.wait_until(whole, f"{path} was damaged, and {index} is whole", HEALS_WITHIN_SECONDS)
