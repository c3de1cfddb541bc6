"""What a part of the system cannot do without, told before it starts."""

from collections.abc import Sequence

from streams.cluster import kafka_cluster
from streams.errors import SettingsError
from streams.settings import Settings


def require_stores(settings: Settings, indexes: Sequence[str]) -> None:
    """See whether Kafka, the database and the model that some indexes need are set.

    Raises:
        SettingsError: naming what is not.
    """
    if settings.kafka_bootstrap_servers is None:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS is not set; `embed-search up` starts a Kafka of its own")
    kafka_cluster(settings)  # its files, before anything runs
    if "semantic" in indexes and settings.database_url is None:
        raise SettingsError(
            "DATABASE_URL is not set; the index semantic needs it (EMBED_SEARCH_INDEXES can leave it out)"
        )
    if "semantic" in indexes and settings.model_path is None:
        raise SettingsError("MODEL_PATH is not set; the index semantic needs an embedding model")
