"""The way back of dead letters on a real broker: read, replay without overtaking anything, purge."""

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from streams.broker import MAX_RECORD_BYTES
from streams.dead_letter_log import FiledLetter, LetterPosition, purge_dead_letters, read_dead_letters
from streams.dead_letter_replay import DeadLetterReplay, overtaken
from streams.dead_letters import DeadLetter, DeadLetterPublisher
from streams.publisher import RecordProducer
from tests.streams.kafka import make_topics, nothing_unclosed, produce, records_of

LETTER = DeadLetter(
    key=b"a",
    value=b"old",
    topic="documents",
    partition=0,
    offset=0,
    index="bm25",
    error_class="not-json",
    message="value is not JSON",
    attempts=2,
    trace={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
)


@pytest.fixture(autouse=True)
def closed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client is left open."""
    with nothing_unclosed(caplog):
        yield


async def bury(bootstrap: str, topic: str, *letters: DeadLetter) -> None:
    """Write dead letters of a topic."""
    producer = RecordProducer(bootstrap, client_id="test")
    publisher = DeadLetterPublisher(producer, f"{topic}.dlq")
    for letter in letters:
        await publisher.publish(replace(letter, topic=topic))
    await producer.close()


async def filed(bootstrap: str, topic: str) -> list[FiledLetter]:
    """The dead letters of a topic."""
    return [each async for each in read_dead_letters(bootstrap, f"{topic}.dlq")]


def everything(_: FiledLetter) -> bool:
    """Choose all."""
    return True


async def values(bootstrap: str, topic: str, key: bytes) -> list[bytes | None]:
    """What was published under a key, in order."""
    return [record.value for record in await records_of(bootstrap, topic) if record.key == key]


def test_a_position_is_written_as_it_is_read() -> None:
    """What `list` prints is what `show` takes; anything else is refused."""
    assert LetterPosition.parse("0:41") == LetterPosition(0, 41)
    assert str(LetterPosition(0, 41)) == "0:41"
    for wrong in ("", "41", "0:", ":41", "0:-1", "a:1", "0:1:2", "٣:1"):
        with pytest.raises(ValueError, match="partition:offset"):
            LetterPosition.parse(wrong)


async def test_a_letter_is_read_as_it_was_written(kafka_bootstrap: str) -> None:
    """Record, reason, origin and trace come back, and a record of a stranger is no error."""
    topic = await make_topics(kafka_bootstrap)
    await bury(kafka_bootstrap, topic, LETTER)
    await produce(kafka_bootstrap, f"{topic}.dlq", [(None, b"stray")])
    known, stray = await filed(kafka_bootstrap, topic)
    assert known.letter == replace(LETTER, topic=topic)
    assert (known.position, stray.position) == (LetterPosition(0, 0), LetterPosition(0, 1))
    assert (stray.letter.value, stray.letter.topic, stray.letter.offset) == (b"stray", "unknown", -1)


async def test_a_letter_goes_back_to_its_partition_with_its_trace(kafka_bootstrap: str) -> None:
    """The order of a key's versions is only defined within one partition."""
    topic = await make_topics(kafka_bootstrap, partitions=4)
    for partition in range(4):
        await produce(kafka_bootstrap, topic, [(b"%d" % partition, b"bad")], partition=partition)
    letters = [replace(LETTER, key=b"%d" % number, value=b"bad", partition=number) for number in range(4)]
    await bury(kafka_bootstrap, topic, *letters)
    replay = DeadLetterReplay(kafka_bootstrap, topic, f"{topic}.dlq")
    report = await replay.run(await replay.plan(everything))
    assert report.replayed == [LetterPosition(0, number) for number in range(4)]
    again = [record for record in await records_of(kafka_bootstrap, topic) if record.offset == 1]
    assert {(record.partition, record.key, record.value) for record in again} == {
        (number, b"%d" % number, b"bad") for number in range(4)
    }
    assert all(dict(record.headers)["traceparent"].decode() == LETTER.trace["traceparent"] for record in again)


@pytest.mark.parametrize("newer", [b"new", None], ids=["update", "tombstone"])
async def test_a_newer_version_is_never_overtaken(kafka_bootstrap: str, newer: bytes | None) -> None:
    """Neither an update nor a deletion that came after the dead record."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, [(b"a", b"old"), (b"a", newer)])
    await bury(kafka_bootstrap, topic, LETTER)
    replay = DeadLetterReplay(kafka_bootstrap, topic, f"{topic}.dlq")
    report = await replay.run(await replay.plan(everything))
    assert (report.replayed, [each.reason for each in report.skipped]) == ([], ["its document has a newer version"])
    assert await values(kafka_bootstrap, topic, b"a") == [b"old", newer]


@pytest.mark.parametrize("newer", [b"new", None], ids=["update", "tombstone"])
async def test_a_version_that_slips_in_stays_the_newest(kafka_bootstrap: str, newer: bytes | None) -> None:
    """A producer that publishes between the look and the replay wins all the same."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, [(b"a", b"old"), (b"b", b"other")])
    await bury(kafka_bootstrap, topic, LETTER, replace(LETTER, key=b"b", value=b"other", offset=1))
    replay = DeadLetterReplay(kafka_bootstrap, topic, f"{topic}.dlq")
    plan = await replay.plan(everything)
    await produce(kafka_bootstrap, topic, [(b"a", newer)])
    report = await replay.run(plan)
    assert (len(report.replayed), report.restored) == (2, 1)
    assert await values(kafka_bootstrap, topic, b"a") == [b"old", newer, b"old", newer]
    assert await values(kafka_bootstrap, topic, b"b") == [b"other", b"other"]


class Published(NamedTuple):
    """What counts of a record on the topic."""

    key: bytes
    offset: int
    value: bytes


async def test_whoever_writes_after_the_replay_is_the_newest() -> None:
    """What slipped in before it is not published again over that."""

    async def records() -> AsyncIterator[Published]:
        for key, offset in ((b"a", 3), (b"b", 4), (b"a", 5), (b"a", 6), (b"b", 7), (b"c", 8), (b"b", 9)):
            yield Published(key, offset, b"%d" % offset)

    versions = await overtaken(records(), {b"a": 6, b"b": 7})
    assert [(version.key, version.value) for version in versions] == [(b"a", b"5")]


async def test_of_two_letters_with_one_key_the_newer_goes_back_and_only_once(kafka_bootstrap: str) -> None:
    """Whatever their order in the topic of dead letters; and a second replay publishes nothing."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, [(b"a", b"old"), (b"a", b"newer")])
    newer = replace(LETTER, value=b"newer", offset=1)
    await bury(kafka_bootstrap, topic, newer, newer, LETTER)
    replay = DeadLetterReplay(kafka_bootstrap, topic, f"{topic}.dlq")
    report = await replay.run(await replay.plan(everything))
    assert [str(position) for position in report.replayed] == ["0:1"]
    assert {str(each.position) for each in report.skipped} == {"0:0", "0:2"}
    assert await values(kafka_bootstrap, topic, b"a") == [b"old", b"newer", b"newer"]
    assert (await replay.plan(everything)).letters == {}


async def test_only_what_is_chosen_and_can_be_published_goes_back(kafka_bootstrap: str) -> None:
    """Each letter that is left out has a reason."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, [(b"a", b"old")])
    await bury(
        kafka_bootstrap,
        topic,
        replace(LETTER, key=None),
        replace(LETTER, key=b"large", value=b"x" * (MAX_RECORD_BYTES + 1), offset=1),
        LETTER,
        replace(LETTER, key=b"c", index="native", offset=2),
    )
    await produce(kafka_bootstrap, f"{topic}.dlq", [(b"stray", b"x")])
    replay = DeadLetterReplay(kafka_bootstrap, topic, f"{topic}.dlq")
    plan = await replay.plan(lambda each: each.letter.index != "native")
    assert plan.letters == {LetterPosition(0, 2): b"a"}
    assert {str(each.position): each.reason for each in plan.skipped} == {
        "0:0": "a record without a key is no document",
        "0:1": "its value was too large to be kept",
        "0:4": "it came from the topic 'unknown'",
    }


async def test_purge_deletes_up_to_a_position_or_all(kafka_bootstrap: str) -> None:
    """Nothing behind the position is lost, and a position that is not there is refused."""
    topic = await make_topics(kafka_bootstrap)
    dead = f"{topic}.dlq"
    await bury(kafka_bootstrap, topic, *(replace(LETTER, offset=number) for number in range(4)))
    with pytest.raises(ValueError, match="no dead letter 0:4"):
        await purge_dead_letters(kafka_bootstrap, dead, [LetterPosition(0, 4)])
    with pytest.raises(ValueError, match="no dead letter 7:0"):
        await purge_dead_letters(kafka_bootstrap, dead, [LetterPosition(7, 0)])
    assert await purge_dead_letters(kafka_bootstrap, dead, [LetterPosition(0, 1)]) == 2
    assert [each.letter.offset for each in await filed(kafka_bootstrap, topic)] == [2, 3]
    assert await purge_dead_letters(kafka_bootstrap, dead, [LetterPosition(0, 0)]) == 0
    assert await purge_dead_letters(kafka_bootstrap, dead) == 2
    assert await filed(kafka_bootstrap, topic) == []
