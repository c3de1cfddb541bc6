"""Dead letters over HTTP: looked at, replayed, purged; and the word for an indexer to read on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from api.errors import Conflict, InvalidRequest, NoSuchItem
from api.messages.administered import (
    DeadLetterReport,
    DeadLetterResponse,
    DeadLettersResponse,
    PurgeResponse,
    ReplayResponse,
    SkippedReport,
)
from api.messages.administration import DeadLetterParameters, PurgeParameters, ReplayRequest
from indexer.errors import WriterLocked
from indexer.file_lock import FileLock
from indexer.resume_orders import ResumeOrder, order_to_resume
from streams.cluster import KafkaAddress
from streams.dead_letter_log import (
    LetterPosition,
    chooser,
    described,
    find_dead_letter,
    page_dead_letters,
    purge_dead_letters,
    readable,
)
from streams.dead_letter_replay import DeadLetterReplay
from streams.settings import Settings


class LetterDesk:
    """The dead letters of one system.

    Args:
        settings: the topics, and where the data lie.
        kafka: where they are, and how to get in.
    """

    def __init__(self, settings: Settings, kafka: KafkaAddress) -> None:
        self._settings = settings
        self._kafka = kafka
        self._topic = settings.dead_letter_topic

    async def page(self, asked: DeadLetterParameters) -> DeadLettersResponse:
        """The newest, or those before some position.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        before = None if asked.before is None else LetterPosition.parse(asked.before)
        choose = chooser(asked.index, asked.error)
        found = await page_dead_letters(self._kafka, self._topic, choose, limit=asked.limit, before=before)
        letters = [msgspec.convert(described(filed), DeadLetterReport) for filed in found.letters]
        return DeadLettersResponse(letters, None if found.before is None else str(found.before))

    async def letter(self, position: LetterPosition) -> DeadLetterResponse:
        """One, with its value.

        Raises:
            NoSuchItem: there is none.
            StreamUnavailable: Kafka does not answer.
        """
        filed = await find_dead_letter(self._kafka, self._topic, position)
        if filed is None:
            raise NoSuchItem(f"there is no dead letter {position}")
        told = described(filed) | {"value": readable(filed.letter.value), "omitted": filed.omitted}
        return msgspec.convert(told, DeadLetterResponse)

    async def replay(self, request: ReplayRequest) -> ReplayResponse:
        """Publish dead letters again, never over a newer version.

        Raises:
            InvalidRequest: neither letters are named, nor all of them asked for, or both.
            Conflict: another replay or purge works.
            StreamUnavailable: Kafka does not answer.
        """
        if bool(request.positions) == request.all:
            raise InvalidRequest("positions", "name positions, or set all to true, and not both")
        chosen = frozenset(map(LetterPosition.parse, request.positions))
        choose = chooser(request.index, request.error)
        replay = DeadLetterReplay(self._kafka, self._settings.topic, self._topic)
        async with self._alone():
            plan = await replay.plan(lambda filed: (request.all or filed.position in chosen) and choose(filed))
            if request.dry_run:
                replayed, restored, skipped = sorted(plan.letters), 0, plan.skipped
            else:
                report = await replay.run(plan)
                replayed, restored, skipped = report.replayed, report.restored, report.skipped
        told = [SkippedReport(str(each.position), each.reason) for each in skipped]
        return ReplayResponse([str(position) for position in replayed], restored, told, request.dry_run)

    async def purge(self, asked: PurgeParameters) -> PurgeResponse:
        """Delete dead letters for good.

        Raises:
            InvalidRequest: neither a letter is named, nor all of them asked for, or both; or there is no such letter.
            Conflict: another replay or purge works.
            StreamUnavailable: Kafka does not answer, or refuses.
        """
        if (asked.through is not None) == asked.all:
            raise InvalidRequest("through", "name the last position to delete, or set all to true, and not both")
        through = [] if asked.through is None else [LetterPosition.parse(asked.through)]
        async with self._alone():
            try:
                return PurgeResponse(await purge_dead_letters(self._kafka, self._topic, through))
            except ValueError as exc:
                raise InvalidRequest("through", str(exc)) from exc

    async def resume(self, indexes: Sequence[str]) -> ResumeOrder:
        """Have indexers read on that stopped because too many records are bad.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        return await order_to_resume(indexes, self._settings, self._kafka, self._settings.topic)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One replay or purge at a time, over all workers: two would publish the same letters, or lose them."""
        path = self._settings.data_dir / "jobs" / "dead-letters.lock"
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        try:
            lock = FileLock(path)
        except WriterLocked as exc:
            raise Conflict("another replay or purge of dead letters works") from exc
        try:
            yield
        finally:
            lock.release()
