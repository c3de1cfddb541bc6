"""Embedders are killed again and again under load, and given what no model likes: it costs some answers a method."""

import asyncio
import json
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from indexer.deadline import Deadline
from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.embedding.jobs import MAX_WAITING
from indexer.embedding.process import MAX_SENT
from indexer.errors import IndexFault
from tests.faults.corpus import documents, new_searches
from tests.faults.figures import experiment
from tests.faults.load import History, load
from tests.faults.nemesis import children_that_run, frozen
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.test_kills import faulty, settings_of

KILLS = 20
KILL_EVERY_SECONDS = 8.0
RATE = 10
PUBLISHED_PER_SECOND = 3
RESTARTS_WITHIN_SECONDS = 5.0
LIKENESS = 0.999
ASKED_AT_A_TIME = 200
ODD = {"too-long": "word " * 511, "emoji": "\U0001f600" * 50, "blank": "\u200b", "one-word": "a" * 2_000}
"""Texts by name: a token more than the model reads, no word at all, nothing to see, and one word of thousands."""

EMPTY = ""
REFUSED = frozenset({400, 413, 422})


@pytest.mark.timeout(500)
def test_embedders_are_killed_again_and_again(system: System) -> None:
    """Those of the API and of the indexer, with two signals: searches lose a method for a moment, and no vector."""
    bodies = new_searches(int(RATE * KILL_EVERY_SECONDS * (KILLS + 5)))
    published = [json.dumps(document) for document in documents(30_000, 2_000)]
    workers = {worker.pid for worker in system.workers()}
    killed_at, killed = [], 0
    with (
        load([system.port], bodies, rate=RATE, seconds=500) as searching,
        load([system.port], published, rate=PUBLISHED_PER_SECOND, seconds=500, path="/documents") as writing,
    ):
        for number in range(KILLS):
            system.wait_until(partial(all_there, system), "each process has its embedder")
            killed_at.append(time.monotonic())
            for embedder in embedders(system):
                embedder.send_signal((signal.SIGKILL, signal.SIGABRT)[number % 2])
                killed += 1
            time.sleep(KILL_EVERY_SECONDS)
        seen, wrote = searching.stop(), writing.stop()
    odd = ask_odd(system)
    system.wait_until(lambda: caught_up(system), "the indexes have read everything")
    wrong = asyncio.run(faulty(settings_of(system)))
    letters = system.http.get("/admin/dead-letters").json()["letters"]
    whole = seen.where(lambda one: one.methods.get("semantic") == "ok")
    with experiment(f"19 SIGKILL and SIGABRT of all embedders, x{KILLS}, under {RATE} searches/s") as figures:
        figures.at_least("embedders killed", killed, 3 * KILLS)
        figures.exactly("failed searches", len(seen.failed), 0, examples=seen.examples)
        figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
        figures.at_least("answers with vectors, share", len(whole) / len(seen), 0.5)
        slowest = max(seconds_without(seen, begin, begin + KILL_EVERY_SECONDS) for begin in killed_at)
        figures.at_most("longest time until all answers have vectors", slowest, RESTARTS_WITHIN_SECONDS, "s")
        figures.exactly("dead API workers", len(workers - {worker.pid for worker in system.workers()}), 0)
        figures.exactly("failed publications", len(wrote) - wrote.outcomes["202"], 0, examples=wrote.examples)
        for name, found in wrong.items():
            figures.exactly(f"documents lost or other than in the topic, in {name}", len(found), 0, examples=found[:3])
        figures.exactly("dead letters", len(letters), 0, examples=[json.dumps(letter) for letter in letters[:3]])
        figures.exactly("odd texts with another answer than they should have", len(odd), 0, examples=odd)


@pytest.mark.timeout(120)
def test_an_embedder_that_stands_still(model_path: Path) -> None:
    """So many may wait for it and no more; what it answers does not depend on what it is asked with."""
    waiting, refused_in, answered, least = asyncio.run(ask_one_that_stands_still(model_path))
    with experiment("19 an embedder that stands still") as figures:
        figures.at_most(f"of {ASKED_AT_A_TIME} requests at a time, waiting", waiting, MAX_WAITING + MAX_SENT)
        figures.at_most("longest refusal of the others", refused_in, 0.1, "s")
        figures.exactly("of those waiting, not answered when it goes on", waiting - answered, 0)
        figures.at_least("least cosine of a text alone and among others", least, LIKENESS)


def embedders(system: System) -> list[psutil.Process]:
    """Of the API's workers and of the indexer."""
    return [found for parent in parents(system) for found in children_that_run("indexer.embedder.worker", parent)]


def parents(system: System) -> list[int]:
    """Whatever has an embedder."""
    return [*(worker.pid for worker in system.workers()), system.programs["semantic"].pid]


def all_there(system: System) -> bool:
    """Whether each has one."""
    return len(embedders(system)) == len(parents(system))


def seconds_without(seen: History, begin: float, end: float) -> float:
    """How long after `begin` the last search ended that had no vectors, of those that were due before `end`."""
    without = seen.between(begin, end).where(lambda one: one.methods.get("semantic") != "ok")
    return max((one.due + one.seconds - begin for one in without.seen), default=0.0)


def ask_odd(system: System) -> list[str]:
    """Publish and search odd texts; gives what should not have been answered so."""
    odd = []
    for name, text in ODD.items():
        written = system.http.put(f"/documents/odd-{name}", json={"body": text})
        asked = system.http.post("/search", json={"query": text, "timeout_ms": 5_000})
        odd += [f"{name}: {one.status_code} {one.text}" for one in (written, asked) if not one.is_success]
    empty = system.http.put("/documents/odd-empty", json={"body": EMPTY})
    none = system.http.post("/documents", content="", headers={"content-type": "application/x-ndjson"})
    odd += [f"empty: {one.status_code}" for one in (empty,) if one.status_code not in REFUSED]
    odd += [f"none: {one.status_code}" for one in (none,) if one.status_code >= 500]
    return odd


async def ask_one_that_stands_still(model: Path) -> tuple[int, float, int, float]:
    """How many waited, the longest refusal, how many of those that waited were answered, and the least likeness."""
    embedder = await EmbedderProcess.start(EmbedderOptions(model, threads=2))

    async def ask(number: int) -> tuple[bool, float]:
        asked_at = time.monotonic()
        try:
            await embedder.embed_query(f"query {number}", Deadline.after(60))
        except IndexFault:
            return False, time.monotonic() - asked_at
        return True, time.monotonic() - asked_at

    try:
        assert embedder.pid is not None
        with frozen([psutil.Process(embedder.pid)]):
            asked = [asyncio.create_task(ask(number)) for number in range(ASKED_AT_A_TIME)]
            refused, waiting = await asyncio.wait(asked, timeout=1.0)
        answered = sum([(await task)[0] for task in waiting])
        least = await least_likeness(embedder)
        return len(waiting), max((task.result()[1] for task in refused), default=0.0), answered, least
    finally:
        await embedder.close()


async def least_likeness(embedder: EmbedderProcess) -> float:
    """The least cosine of a text's two vectors: asked alone, and with all others."""
    texts = [document["body"] for document in documents()] + [ODD["emoji"], ODD["blank"], EMPTY]
    together = await embedder.embed_documents(texts, Deadline.after(60))
    alone = [(await embedder.embed_documents([text], Deadline.after(60)))[0] for text in texts]
    return float(np.min(np.sum(together * np.array(alone), axis=1)))
