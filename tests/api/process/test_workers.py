"""When a worker counts as alive: it runs, and has not left a question unanswered for too long."""

import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.synchronize import Event

import pytest
import uvicorn

from api.process.workers import Worker

PATIENCE = 0.2


@pytest.fixture
def stop() -> Event:
    """Ends the process of the worker."""
    return get_context("spawn").Event()


@pytest.fixture
def worker(stop: Event) -> Iterator[Worker]:
    """A worker whose process runs, and says nothing."""
    worker = Worker(uvicorn.Config("none:none"), [])
    worker.process = get_context("spawn").Process(target=stop.wait)
    worker.start()
    yield worker
    stop.set()
    worker.join()


def test_nobody_waits_for_an_answer(worker: Worker) -> None:
    """A worker that was only just asked is alive, and the question costs no time."""
    began = time.monotonic()
    assert worker.is_alive(PATIENCE * 100)
    assert worker.is_alive(PATIENCE * 100)
    assert time.monotonic() - began < PATIENCE * 50


def test_silence_ends_it(worker: Worker) -> None:
    """A worker that does not answer is alive for as long as it may take, and no longer."""
    began = time.monotonic()
    while worker.is_alive(PATIENCE):
        assert time.monotonic() - began < PATIENCE * 100
    assert time.monotonic() - began > PATIENCE


def test_an_answer_counts_from_the_question_on(worker: Worker) -> None:
    """A worker that answers each question is alive for ever."""
    began = time.monotonic()
    while time.monotonic() - began < 3 * PATIENCE:
        assert worker.is_alive(PATIENCE)
        while worker.child_conn.poll():
            worker.child_conn.recv()
            worker.child_conn.send(b"pong")


def test_a_process_that_ended_is_not_alive(worker: Worker, stop: Event) -> None:
    """Whatever it said before."""
    assert worker.is_alive(PATIENCE)
    stop.set()
    worker.join()
    assert not worker.is_alive(PATIENCE)
