"""Dead letters of a rebuild: what the new generation refuses, unless that is in the dead letters already."""

from typing import Self

from indexer.reporting import DeadLetters
from streams.cluster import KafkaAddress
from streams.dead_letter_log import read_dead_letters
from streams.dead_letters import DeadLetter

_Place = tuple[str, int, int]


class NewLetters:
    """`DeadLetters` that files a record once, though a rebuild reads it again.

    Args:
        letters: where the new ones go.
        known: topic, partition and offset of those that are there.
    """

    def __init__(self, letters: DeadLetters, known: set[_Place]) -> None:
        self._letters = letters
        self._known = known

    @classmethod
    async def of(cls, index: str, letters: DeadLetters, kafka: KafkaAddress, topic: str) -> Self:
        """Read which records an index has refused before; they are few, or the index is halted.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        known = set()
        async for filed in read_dead_letters(kafka, topic):
            if filed.letter.index == index:
                known.add(_place(filed.letter))
        return cls(letters, known)

    async def publish(self, letter: DeadLetter) -> None:
        """As `DeadLetters.publish`."""
        if _place(letter) not in self._known:
            await self._letters.publish(letter)
            self._known.add(_place(letter))


def _place(letter: DeadLetter) -> _Place:
    return letter.topic, letter.partition, letter.offset
