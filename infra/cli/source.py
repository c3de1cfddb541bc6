"""Where the documents come from that a command reads beside the running system."""

from collections.abc import Sequence

from infra.cli.client import ApiClient
from infra.cli.failure import CommandFailed
from infra.local.database import with_own_database
from infra.postgres.roles import READER
from infra.verification.address import TopicAddress
from streams.cluster import kafka_cluster
from streams.settings import SEMANTIC, Settings, dead_letters_of


def topic_address(url: str, settings: Settings) -> TopicAddress:
    """The cluster and the topics, which the environment names or the system at a URL.

    Raises:
        CommandFailed: neither does.
        SettingsError: a file of the settings of Kafka cannot be used.
    """
    with ApiClient(url) as api:
        stream = api.stream()
    kafka = kafka_cluster(settings, stream["bootstrap_servers"])
    return TopicAddress(kafka, stream["topic"], dead_letters_of(stream["topic"]))


def with_database(settings: Settings, indexes: Sequence[str], role: str = READER) -> Settings:
    """The settings, with the PostgreSQL of `up` where none is given, as a role; for commands beside the indexes.

    Raises:
        CommandFailed: the semantic index is among those that are asked for, and there is none.
    """
    placed = with_own_database(settings, role)
    if SEMANTIC in indexes and placed.database_url is None:
        raise CommandFailed(
            f"{SEMANTIC} is in a PostgreSQL: set DATABASE_URL, or EMBED_SEARCH_DATA_DIR to the folder of `up`"
        )
    return placed
