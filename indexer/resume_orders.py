"""What operators order an indexer that has stopped reading, because too much is bad: to pass what is there.

An order is a small file under the data directory, where the indexer finds it, also after a restart. It names offsets:
what comes later is judged again.
"""

from collections.abc import Iterable

import msgspec
import structlog

from indexer.durable import make_directory, replace_file
from streams.cluster import KafkaAddress
from streams.settings import Settings
from streams.topics import read_offsets

_log = structlog.stdlib.get_logger(__name__)


class ResumeOrder(msgspec.Struct, frozen=True):
    """The records that pass, however many are bad.

    Attributes:
        topic: the topic's name.
        cluster: the Kafka cluster's id.
        through: offset behind the last of them, by partition.
    """

    topic: str
    cluster: str
    through: dict[int, int]


class ResumeOrders:
    """The order for one index.

    Args:
        settings: say where the data lie.
        index: the index's name.
    """

    def __init__(self, settings: Settings, index: str) -> None:
        self._path = settings.data_dir / "orders" / "resume" / f"{index}.json"

    def give(self, order: ResumeOrder) -> None:
        """Write an order, in place of an earlier one; blocks on the disk."""
        make_directory(self._path.parent)
        replace_file(self._path, msgspec.json.encode(order))

    def newest(self) -> ResumeOrder | None:
        """The order that was given last, if any was."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=ResumeOrder)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as exc:
            _log.warning("order cannot be read", path=str(self._path), error=repr(exc))
            return None


async def order_to_resume(indexes: Iterable[str], settings: Settings, kafka: KafkaAddress, topic: str) -> ResumeOrder:
    """Order indexers to pass all that the topic holds now.

    Args:
        indexes: their names.
        settings: say where their data lie.
        kafka: where the topic is, and how to get in.
        topic: its name.

    Raises:
        StreamUnavailable: Kafka does not answer.
    """
    offsets = await read_offsets(kafka, topic)
    order = ResumeOrder(topic, offsets.cluster, offsets.end)
    for index in indexes:
        ResumeOrders(settings, index).give(order)
    return order
