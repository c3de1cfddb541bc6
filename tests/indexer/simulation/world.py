"""One simulation: indexers, what they read and fill, what happens to them, and what must hold all the same."""

import asyncio
import random
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from structlog.testing import capture_logs

from indexer import consumer, feed
from indexer.bad_records import BadRecords
from indexer.batch_limits import BatchLimits
from indexer.consumer import Indexer, IndexerOptions
from indexer.handle import IndexHandle
from indexer.health.progress import Progress
from indexer.reporting import Unreported
from indexer.resume_orders import ResumeOrders
from streams.codec import encode_document
from streams.dead_letters import DeadLetter
from streams.document import Document, DocumentId
from streams.errors import StreamUnavailable
from streams.settings import Settings
from streams.tracing import Tracer
from tests.indexer.bench import Memory
from tests.indexer.simulation.index import CheckedIndex, RemoteWriter
from tests.indexer.simulation.kafka import EPOCH_MS, TOPIC, SimulatedKafka, hash_of
from tests.indexer.simulation.process import Process
from tests.system.virtual_time import run_in_virtual_time

SECONDS = 120.0
STANDS_SECONDS = 300.0
"""How long nothing may be read when all is well: a consumer that hears nothing takes a minute to notice, and each of
the four that there may be may get the partition after the other.
"""

_DOCUMENTS = 24
_POISON = b"{"
_NOWHERE = Path("/nonexistent")


def simulate(seed: int, *, shared: bool) -> list[str]:
    """Tell one history.

    Args:
        seed: of all that chance decides.
        shared: whether several indexers share the index, or one has it for itself.

    Returns:
        what happened, and when.

    Raises:
        AssertionError: something does not hold; it says what had happened.
    """
    world = _World(random.Random(seed), shared=shared)
    kafka = world.kafka
    with (
        patch.object(feed, "make_broker", kafka.broker),
        patch.object(consumer, "OffsetProbe", kafka.probe),
        capture_logs(),
    ):
        try:
            run_in_virtual_time(world.live())
        except Exception as exc:
            history = "\n".join(world.told)
            raise AssertionError(f"seed {seed}, {'shared' if shared else 'alone'}: {exc!r}\n{history}") from exc
    return world.told


class _Running:
    """An indexer in a process of its own."""

    def __init__(
        self, process: Process, writers: list[RemoteWriter], stop: asyncio.Event, task: "asyncio.Task[None]"
    ) -> None:
        self.process = process
        self.writers = writers
        self.stop = stop
        self.task = task


class _World:
    """All of it.

    Attributes:
        told: what happened, for who looks into a failure.
    """

    def __init__(self, chance: random.Random, *, shared: bool) -> None:
        self.kafka = SimulatedKafka(chance, partitions=chance.randint(1, 4))
        self.told = list[str]()
        self._chance = chance
        self._shared = shared
        self._index = CheckedIndex(self._check, shared=shared)
        self._memory = Memory()
        self._running = list[_Running]()
        self._dead = list[_Running]()
        self._versions = dict[str, list[tuple[int, str | None]]]()
        """The offset and the body of each version of each document."""
        self._poison = set[tuple[int, int]]()
        self._letters = set[tuple[int, int]]()
        self._started = 0

    async def live(self) -> None:
        """From the first indexer to the last check."""
        clock = asyncio.get_running_loop().time
        self._start(self._chance.randint(1, 3) if self._shared else 1)
        writing, expelling = asyncio.create_task(self._write()), asyncio.create_task(self.kafka.expel())
        try:
            while clock() < SECONDS:
                await asyncio.sleep(self._chance.expovariate(0.4))
                self._happen()
                self._raise_what_failed()
            writing.cancel()
            self._heal()
            await self._catch_up()
            await self._stop_all()
            assert self._index.documents == {
                key: body for key, versions in self._versions.items() if (body := versions[-1][1]) is not None
            }
        finally:
            writing.cancel()
            expelling.cancel()
            await self._clear_away()

    async def _catch_up(self) -> None:
        clock = asyncio.get_running_loop().time
        read, until = self._index.watermark.offsets, clock() + STANDS_SECONDS
        while not self._has_read_all():
            self._raise_what_failed()
            assert clock() < until, f"stands at {read} of {self.kafka.end}"
            await asyncio.sleep(1)
            if self._index.watermark.offsets != read:
                read, until = self._index.watermark.offsets, clock() + STANDS_SECONDS

    # What happens

    async def _write(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(self._chance.expovariate(4))
            if self._chance.random() < 0.1:
                await asyncio.sleep(self._chance.uniform(0, 10))
            for _ in range(self._chance.choice([1, 1, 1, 20])):
                number += 1
                self._publish(number)

    def _publish(self, number: int) -> None:
        if self._chance.random() < 0.03:
            record = self.kafka.publish(f"poison/{number}", _POISON)
            self._poison.add((record.partition, record.offset))
            return
        key = f"d{self._chance.randrange(_DOCUMENTS)}"
        body = None if self._chance.random() < 0.2 else f"version {number}"
        value = None if body is None else encode_document(Document(id=DocumentId(key), body=body))
        self._versions.setdefault(key, []).append((self.kafka.publish(key, value).offset, body))

    def _happen(self) -> None:
        """Something goes wrong, or comes right."""
        for each in self._running:
            if each.process.stood_since is not None and self._chance.random() < 0.3:
                self._tell(f"{each.process.name} goes on")
                each.process.go_on()
        if not self.kafka.is_up and self._chance.random() < 0.4:
            self._tell("Kafka answers")
            self.kafka.is_up = True
        if self._memory.used and self._chance.random() < 0.5:
            self._memory.use(0)
        events: list[Callable[[], None]] = [
            self._kill,
            self._stand_still,
            self._fail_in_index,
            self._fail_in_index,
            self._kafka_away,
            self._short_of_memory,
            self._change_members,
            self._odd_offsets,
            self._odd_consumer,
        ]
        self._chance.choice(events)()

    def _kill(self) -> None:
        victim = self._chance.choice(self._running)
        self._tell(f"{victim.process.name} is killed")
        victim.process.kill()
        for writer in victim.writers:
            writer.break_off()
        self._running.remove(victim)
        self._dead.append(victim)
        self._start(1)

    def _stand_still(self) -> None:
        victim = self._chance.choice(self._running)
        if victim.process.stood_since is None:
            self._tell(f"{victim.process.name} stands still")
            victim.process.stop()

    def _fail_in_index(self) -> None:
        fault = self._chance.choice(["apply", "commit", "after-commit"])
        self._tell(f"the index fails at {fault}")
        self._index.faults.append((len(self._index.commits), fault))  # type: ignore[arg-type] # one of three

    def _kafka_away(self) -> None:
        self._tell("Kafka is away")
        self.kafka.is_up = False

    def _short_of_memory(self) -> None:
        self._tell("memory is short")
        self._memory.use(100)

    def _change_members(self) -> None:
        if not self._shared:
            return
        if len(self._running) < 4 and self._chance.random() < 0.5:
            self._start(1)
        else:
            self._tell("the group is split anew")
            self.kafka.rebalance()

    def _odd_offsets(self) -> None:
        if self._chance.random() < 0.5:
            self._tell("the topic is compacted")
            self.kafka.compact()
        else:
            self.kafka.skip()

    def _odd_consumer(self) -> None:
        readers = [r for running in self._running for r in self.kafka.readers if r.process is running.process]
        if not readers:
            return
        reader = self._chance.choice(readers)
        if self._chance.random() < 0.3:
            self._tell(f"{reader.process.name} hears nothing more")
            reader.silent = True
        else:
            self._tell(f"{reader.process.name} goes back")
            reader.go_back()

    def _heal(self) -> None:
        self._tell("all is well again")
        self.kafka.is_up = True
        self._memory.use(0)
        self._index.faults.clear()
        self.kafka.skip()  # a last offset that nobody will ever read
        for each in self._running:
            each.process.go_on()

    def _tell(self, what: str) -> None:
        self.told.append(f"{asyncio.get_running_loop().time():7.2f} {what}")

    # Indexers

    def _start(self, count: int) -> None:
        for _ in range(count):
            self._started += 1
            process = Process(f"indexer-{self._started}")
            self._tell(f"{process.name} is started")
            self.kafka.processes[process.name] = process
            stop = asyncio.Event()
            writers = list[RemoteWriter]()
            indexing = asyncio.create_task(self._indexer(process, writers).run(stop))
            self._running.append(_Running(process, writers, stop, indexing))

    def _indexer(self, process: Process, writers: list[RemoteWriter]) -> Indexer:
        def open_writer() -> "asyncio.Future[RemoteWriter]":
            writers.append(RemoteWriter(self._index, process, self._chance))
            return asyncio.ensure_future(writers[-1].open())

        clock = asyncio.get_running_loop().time
        return Indexer(
            IndexerOptions(
                index="simulated",
                bootstrap_servers=process.name,  # by which the simulated Kafka knows who asks
                topic=TOPIC,
                group="simulated",
                limits=BatchLimits(records=30, bytes=10**6, age_seconds=1.0),
                max_body_bytes=10_000,
                poll_records=self._chance.choice([1, 10, 500]),
                shared=self._shared,
            ),
            IndexHandle(open_writer),
            bad_records=BadRecords(
                "simulated",
                dead_letters=_DeadLetters(self.kafka, process, self._letters),
                orders=ResumeOrders(Settings(data_dir=_NOWHERE), "simulated"),
                metrics=Unreported(),
                reports_undecodable=True,
            ),
            metrics=Unreported(),
            memory=self._memory.guard,
            tracer=Tracer("simulated", None),
            progress=Progress(60.0, clock=clock, wall=lambda: EPOCH_MS / 1_000 + clock()),
        )

    def _raise_what_failed(self) -> None:
        for each in self._running:
            if each.task.done():
                each.task.result()
                raise AssertionError(f"{each.process.name} has ended, and nobody told it to")

    async def _stop_all(self) -> None:
        for each in self._running:
            each.stop.set()
        async with asyncio.timeout(STANDS_SECONDS):
            await asyncio.gather(*(each.task for each in self._running))

    async def _clear_away(self) -> None:
        for each in (*self._dead, *self._running):
            each.process.clear_away()
            each.task.cancel()
        await asyncio.gather(*(each.task for each in (*self._dead, *self._running)), return_exceptions=True)

    # What must hold

    def _has_read_all(self) -> bool:
        read = self._index.watermark.offsets
        return all(read.get(partition, 0) == end for partition, end in enumerate(self.kafka.end))

    def _check(self) -> None:
        """The index is what its watermark says, but for versions that are compacted since; none is there for ever."""
        read = self._index.watermark.offsets
        assert self._index.documents.keys() <= self._versions.keys()
        for key, known in self._versions.items():
            partition = hash_of(key) % len(self.kafka.end)
            passed = bisect_left(known, (read.get(partition, 0),))
            held, due = self._index.documents.get(key), known[passed - 1][1] if passed else None
            if held == due:
                continue
            assert passed < len(known), f"{key} is {held} at {read}, and should be {due} for good"
            assert (partition, known[passed - 1][0]) in self.kafka.compacted, f"{key} is {held} at {read}, not {due}"
            assert held in {None, *(body for _, body in known[:passed])}, f"{key} is {held}, from after {read}"
        unreported = {place for place in self._poison - self._letters if place[1] < read.get(place[0], 0)}
        assert not unreported, f"passed, and nobody was told: {unreported}"


class _DeadLetters:
    """Where bad records go, as long as Kafka answers."""

    def __init__(self, kafka: SimulatedKafka, process: Process, letters: set[tuple[int, int]]) -> None:
        self._kafka = kafka
        self._process = process
        self._letters = letters

    async def publish(self, letter: DeadLetter) -> None:
        """As `DeadLetters.publish`; who dies on the way back has published, and does not know it."""
        await self._process.turn(self._kafka.chance.uniform(0, 0.1))
        if not self._kafka.is_up:
            raise StreamUnavailable("simulated")
        self._letters.add((letter.partition, letter.offset))
        await self._process.turn(self._kafka.chance.uniform(0, 0.1))
