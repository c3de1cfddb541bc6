"""Rebuilds of 50,000 documents beside writes and searches, killed in the replay and around each swap: experiment 9."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from infra.setup.artifacts import Artifacts
from streams.settings import METHODS
from tests.faults.beside import beside
from tests.faults.corpus import documents, searches
from tests.faults.figures import experiment
from tests.faults.load import History, load
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.writing import Writing
from tests.system.crash_points import REBUILD_POINTS
from tests.system.processes import program, run_command

DOCUMENTS = 50_000
TEXTS = 2_000
PUBLISHED_AT_A_TIME = 5_000
PUBLISHED_WITHIN_SECONDS = 600.0
SEARCHES_PER_SECOND = 20
ROLLED_BACK_WITHIN_SECONDS = 5.0
LIVE_P99_TIMES = 1.5
REBUILT_WITHIN_SECONDS = 3_000.0

_LOOK_EVERY_SECONDS = 1.0
"""Each look asks three methods to count all documents, which is load too."""


class Whole:
    """Asks each local method for a word of every document, again and again: none is ever missing.

    A generation that is not complete, or an answer from two of them, would count otherwise.

    Args:
        system: whose API is asked.

    Attributes:
        answers: how many came.
        short: those with too few documents.
        refused: those that came to nothing.
    """

    def __init__(self, system: System) -> None:
        self.answers = 0
        self.short: list[str] = []
        self.refused: list[str] = []
        self._url = f"http://127.0.0.1:{system.port}/search"
        self._stop = threading.Event()

    def _run(self) -> None:
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not self._stop.wait(_LOOK_EVERY_SECONDS):
                body = {"query": "document", "methods": ["bm25", "tantivy", "native"], "limit": 1, "timeout_ms": 5_000}
                answer = http.post(self._url, json=body)
                self.answers += 1
                if not answer.is_success:
                    self.refused.append(answer.text)
                    continue
                backends = answer.json()["backends"]
                self.short += [
                    f"{name}: {backend['total']} ({backend['status']})"
                    for name, backend in backends.items()
                    if backend["status"] == "ok" and backend["total"] < DOCUMENTS
                ]

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Ask for as long as the block."""
        with beside(self._run, self._stop):
            yield


class Steps:
    """What was done when, so that what failed can be laid to it."""

    def __init__(self) -> None:
        self._done: list[tuple[str, float, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note the times of the block."""
        began = time.monotonic()
        yield
        self._done.append((name, began, time.monotonic()))

    def seconds(self, name: str) -> float:
        """How long a step took."""
        return next(ended - began for step, began, ended in self._done if step == name)

    def told(self, seen: History) -> list[str]:
        """What became of the searches in each step, with the methods that were missing in answers."""
        return [self._told(name, seen.between(began, ended), ended - began) for name, began, ended in self._done]

    @staticmethod
    def _told(name: str, during: History, seconds: float) -> str:
        partial = during.where(lambda one: one.partial)
        missing = Counter(
            f"{method} {status}"
            for one in partial.seen
            for method, status in one.methods.items()
            if status not in {"ok", "skipped"}
        )
        p99 = during.p99 if during.seen else 0.0
        return (
            f"{name}: {len(during.failed)} of {len(during)} failed, {len(partial)} partial {dict(missing)}, "
            f"p99 {p99:.3f} s, in {seconds:.0f} s"
        )


def rebuild_killed(system: System, point: str, passage: int, index: str) -> None:
    """Begin a rebuild, or go on with one, and let it die at a point."""
    arguments = [point, str(passage), "rebuild", index, "--max-latency-ratio", "100"]
    log = system.folder / f"rebuild-{index}.log"
    with program(arguments, system.environment, log, module="tests.system.crash_points") as dying:
        assert dying.wait(REBUILT_WITHIN_SECONDS) == -signal.SIGKILL, dying.output


def rebuild(system: System, index: str) -> int:
    """Rebuild to the end; gives its status."""
    log = system.folder / f"rebuild-{index}.log"
    with program(["rebuild", index, "--max-latency-ratio", "100"], system.environment, log) as running:
        return running.wait(REBUILT_WITHIN_SECONDS)


def publish(system: System) -> None:
    """All documents; they share some texts, whose vectors are computed once."""
    texts = [document["body"] for document in documents(0, TEXTS)]
    for first in range(0, DOCUMENTS, PUBLISHED_AT_A_TIME):
        numbers = range(first, first + PUBLISHED_AT_A_TIME)
        chosen = [{"id": f"doc/{number}", "body": f"document {texts[number % TEXTS]}"} for number in numbers]
        system.wait_for(system.post(chosen), seconds=PUBLISHED_WITHIN_SECONDS)


@pytest.mark.timeout(7_200)
def test_rebuilds_under_fire(artifacts: Artifacts, service_directory: Path) -> None:
    """No search fails, no answer lacks a document, and the way back takes seconds."""
    system = System(service_directory / "rebuilds", artifacts, {"EMBED_SEARCH_REBUILD_SHARE": "0.5"})
    bodies = searches(50)
    statuses, steps = dict[str, int](), Steps()
    with system.running(*("kafka", "postgres", *METHODS, "api")):
        publish(system)
        system.wait_until(system.complete, "all methods answer")
        writing, whole = Writing(system, seed=3), Whole(system)
        # What is counted through is load too, so that what is healthy is measured under it.
        with writing.going_on(), whole.asked():
            healthy = system.healthy(bodies, rate=SEARCHES_PER_SECOND, seconds=30)
            with load([system.port], bodies, rate=SEARCHES_PER_SECOND, seconds=6_000) as sending:
                for index in METHODS:
                    for point in REBUILD_POINTS.values():
                        if index in point.indexes:
                            with steps.step(f"{index} until {point.name}"):
                                rebuild_killed(system, point.name, point.passages, index)
                    with steps.step(f"{index} to its end"):
                        statuses[index] = rebuild(system, index)
                    with steps.step(f"rollback of {index}"):
                        assert run_command(["rollback", index], system.environment).returncode == 0
                seen = sending.stop()
        system.wait_until(lambda: caught_up(system), "the indexes have read everything")
        verified = run_command(["verify"], system.environment)
    told = steps.told(seen)
    # Beside the figures for who looks into one of them, and not for the one who reads whether they hold.
    (system.folder / "steps.txt").write_text("\n".join([f"healthy: p99 {healthy.p99:.3f} s", *told]))
    with experiment(f"9 rebuilds of {DOCUMENTS:,} documents, killed at {len(REBUILD_POINTS)} points") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers", len(seen.where(lambda one: one.partial)), 0, examples=told)
        figures.at_least("answers that were counted through", whole.answers, 100)
        figures.exactly("of them refused", len(whole.refused), 0, examples=whole.refused[:3])
        figures.exactly("of them with a document less", len(whole.short), 0, examples=whole.short[:3])
        figures.at_most("p99 of searches", seen.p99, LIVE_P99_TIMES * healthy.p99, "s", healthy.p99)
        figures.exactly("rebuilds that did not go live in the end", sum(map(bool, statuses.values())), 0)
        for index in METHODS:
            taken = steps.seconds(f"rollback of {index}")
            figures.at_most(f"seconds of a rollback of {index}", taken, ROLLED_BACK_WITHIN_SECONDS, "s")
        figures.exactly("exit status of verify", verified.returncode, 0, examples=[verified.stdout[-1_000:]])
