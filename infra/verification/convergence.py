"""Whether the indexes hold what the topic says, document by document, while both go on.

Each index is dumped first, in a snapshot that knows how far it had read; then the topic is read once. What is compared
and what is not is told in `infra.verification.judgement`, and why it fits in memory in `infra.verification.spill`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any, Final

from api.state.lag import lag_messages
from indexer.dump import IndexDump, content_hash
from indexer.errors import IndexFault
from indexer.lineage import check_lineage
from indexer.registry import open_dump as open_live_dump
from indexer.reports.comparison import Fault, Faults, IndexComparison
from infra.verification.address import TopicAddress
from infra.verification.judgement import NO_OFFSET, Found, Judgement, Kind, judge
from infra.verification.repair import RepairPlan, repair
from infra.verification.spill import PARTS, Spill
from infra.verification.targets import targets
from streams.change import Position, Upsert
from streams.codec import decode_change
from streams.dead_letter_log import read_dead_letters
from streams.errors import StreamMismatch, UndecodableRecord
from streams.reader import read_topic
from streams.settings import Settings
from streams.topics import TopicOffsets, read_offsets
from streams.watermark import Watermark

DumpOpener = Callable[[str], AbstractAsyncContextManager[IndexDump]]

_TOLD_EVERY: Final = 10_000


async def compare(  # noqa: PLR0913 - one source of dumps more than a plan has
    settings: Settings,
    address: TopicAddress,
    indexes: Sequence[str],
    *,
    scratch: Path,
    shown: int,
    on_step: Callable[[str], None],
    plan: RepairPlan | None = None,
    open_dump: DumpOpener | None = None,
) -> list[IndexComparison]:
    """Compare indexes with the topic; writers and searches may go on meanwhile.

    Args:
        settings: where the indexes are, and the limits that records are held against.
        address: where the topic is.
        indexes: to compare.
        scratch: an empty folder for temporary files.
        shown: how many faults of each class to name.
        on_step: told what is being done.
        plan: is told which documents are faulty, and how they should be.
        open_dump: opens what an index holds; None for its live generation.

    Raises:
        StreamUnavailable: Kafka does not answer.
    """
    opener = open_dump or (lambda index: open_live_dump(index, settings))
    with ExitStack() as stack:
        sides = [_Side(index, stack, scratch) for index in indexes]
        for side in sides:
            await side.dump(opener, on_step)
        topic = stack.enter_context(Spill(scratch / "topic", newest_only=True))
        offsets, read_to = await _spill_topic(topic, address, settings, on_step)
        await _spill_refusals({side.index: side.refused for side in sides}, address)
        if plan is not None:
            plan.found_in(offsets, read_to)
        for side in sides:
            side.check_lineage(address.topic, offsets)
            if not side.report.reason:
                on_step(f"{side.index}: comparing")
                side.judge(topic, shown, plan)
        return [side.report for side in sides]


async def compare_and_repair(
    settings: Settings,
    address: TopicAddress,
    indexes: Sequence[str],
    *,
    scratch: Path,
    shown: int,
    on_step: Callable[[str], None],
    patience: float,
) -> list[IndexComparison]:
    """As `compare`, and then have the running indexers put right what was found.

    Args:
        settings: as for `compare`.
        address: as for `compare`.
        indexes: as for `compare`.
        scratch: as for `compare`.
        shown: as for `compare`.
        on_step: as for `compare`.
        patience: seconds to wait for an indexer to take up each of the orders.

    Raises:
        StreamUnavailable: Kafka does not answer.
    """
    plan = RepairPlan()
    reports = await compare(settings, address, indexes, scratch=scratch, shown=shown, on_step=on_step, plan=plan)
    for report in reports:
        if not report.reason and not report.equal:
            on_step(f"{report.index}: repairing")
            report.repair = await repair(report.index, plan, settings, address, patience=patience, on_step=on_step)
    return reports


class _Side:
    """An index on its way to a report."""

    def __init__(self, index: str, stack: ExitStack, scratch: Path) -> None:
        self.index = index
        self.report = IndexComparison(index)
        self.refused = stack.enter_context(Spill(scratch / f"{index}-refused"))
        self._rows = stack.enter_context(Spill(scratch / index))
        self._watermark = Watermark()

    async def dump(self, open_dump: DumpOpener, on_step: Callable[[str], None]) -> None:
        try:
            async with open_dump(self.index) as dump:
                self._watermark = dump.watermark
                async for batch in dump.batches():
                    for document in batch:
                        self._rows.add(document.id, document.partition, document.offset, content=document.content)
                    on_step(f"{self.index}: {self._rows.rows:,} documents")
        except IndexFault as exc:
            self.report.reason = str(exc)
        self._rows.flush()
        self.report.documents = self._rows.rows

    def check_lineage(self, topic: str, offsets: TopicOffsets) -> None:
        try:
            check_lineage(self._watermark, topic, offsets)
        except StreamMismatch as exc:
            self.report.reason = self.report.reason or str(exc)
        self.report.behind = sum(lag_messages(self._watermark, offsets).values())

    def judge(self, topic: Spill, shown: int, plan: RepairPlan | None) -> None:
        for number in range(PARTS):
            rows = topic.part(number)
            judged = judge(rows, self._rows.part(number), self.refused.part(number), self._watermark.offsets)
            self._add(judged, topic, shown)
            if plan is not None:
                plan.add(self.index, targets(judged, rows, topic, self._rows))

    def _add(self, judged: Judgement, topic: Spill, shown: int) -> None:
        self.report.changing += judged.changing
        self.report.refused += judged.refused
        _extend(self.report.missing, judged.missing, topic, shown)
        _extend(self.report.stale, judged.stale, self._rows, shown)
        _extend(self.report.extra, judged.extra, self._rows, shown)
        _extend(self.report.different, judged.different, self._rows, shown)


async def _spill_topic(
    spill: Spill, address: TopicAddress, settings: Settings, on_step: Callable[[str], None]
) -> tuple[TopicOffsets, dict[int, int]]:
    """Read the topic to its end, and then what came meanwhile.

    Returns:
        its range when the reading began, and the offsets up to which it was read.
    """
    first = await read_offsets(address.kafka, address.topic)
    start: dict[int, int] = {}
    for _ in range(2):
        end = (await read_offsets(address.kafka, address.topic)).end if start else first.end
        async for record in read_topic(address.kafka, address.topic, start=start, end=end):
            _spill_record(spill, record, settings.max_body_bytes)
            if spill.rows % _TOLD_EVERY == 0:
                on_step(f"{address.topic}: {spill.rows:,} records")
        start = end
    spill.flush()
    return first, start


def _spill_record(spill: Spill, record: Any, max_body_bytes: int) -> None:  # noqa: ANN401 - aiokafka's record has no public type
    position = Position(record.partition, record.offset, record.timestamp)
    try:
        change = decode_change(record.key, record.value, position, max_body_bytes=max_body_bytes)
    except UndecodableRecord:
        document_id = _id(record.key)
        if document_id is not None:
            spill.add(document_id, record.partition, record.offset, kind=Kind.UNREADABLE)
        return
    if isinstance(change, Upsert):
        spill.add(change.id, record.partition, record.offset, content=content_hash(change.document))
    else:
        spill.add(change.id, record.partition, record.offset, kind=Kind.TOMBSTONE)


async def _spill_refusals(spills: Mapping[str, Spill], address: TopicAddress) -> None:
    """The positions that single indexes have refused; what none could read is seen in the topic itself."""
    async for filed in read_dead_letters(address.kafka, address.dead_letter_topic):
        letter = filed.letter
        document_id = _id(letter.key)
        if letter.topic == address.topic and letter.index in spills and document_id is not None:
            spills[letter.index].add(document_id, letter.partition, letter.offset)
    for spill in spills.values():
        spill.flush()


def _id(key: bytes | None) -> str | None:
    """The id that a key stands for; a key that is none is about no document."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def _extend(faults: Faults, found: Found, ids: Spill, shown: int) -> None:
    named = found.rows[: max(0, shown - len(faults.first))]
    for row, indexed, topic in zip(named, found.indexed.tolist(), found.topic.tolist(), strict=False):
        partition = int(row["partition"])
        faults.first.append(Fault(ids.id_at(int(row["place"])), _at(partition, indexed), _at(partition, topic)))
    faults.count += len(found.rows)


def _at(partition: int, offset: int) -> str | None:
    return None if offset == NO_OFFSET else f"{partition}:{offset}"
