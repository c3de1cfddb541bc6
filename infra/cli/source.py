"""Where the documents come from that a command reads beside the running system."""

from infra.cli.client import ApiClient
from infra.verification.address import TopicAddress
from streams.cluster import kafka_cluster
from streams.settings import Settings, dead_letters_of


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
