"""The AsyncAPI document of the topics."""

import json
from typing import Any

import pytest

from streams.asyncapi import asyncapi_document


@pytest.fixture(scope="module")
def specification() -> dict[str, Any]:
    """The generated document."""
    generated = asyncapi_document("docs", "docs.dlq", bootstrap_servers="one:9092,two:9092", version="1.2.3")
    document: dict[str, Any] = json.loads(generated)
    return document


def test_it_is_asyncapi_3_of_both_topics(specification: dict[str, Any]) -> None:
    """It says its version, ours, where Kafka is, and both addresses."""
    assert specification["asyncapi"].startswith("3.")
    assert specification["info"]["version"] == "1.2.3"
    assert [server["host"] for server in specification["servers"].values()] == ["one:9092", "two:9092"]
    addresses = {channel["address"] for channel in specification["channels"].values()}
    assert addresses == {"docs", "docs.dlq"}


def test_indexes_receive_documents_and_send_dead_letters(specification: dict[str, Any]) -> None:
    """The direction is the application's."""
    actions = {
        specification["channels"][operation["channel"]["$ref"].rsplit("/", 1)[1]]["address"]: operation["action"]
        for operation in specification["operations"].values()
    }
    assert actions == {"docs": "receive", "docs.dlq": "send"}


def test_every_reference_leads_somewhere(specification: dict[str, Any]) -> None:
    """A document with dangling references is not valid."""
    for reference in _references(specification):
        target: Any = specification
        for step in reference.removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]


def test_the_payload_is_the_document(specification: dict[str, Any]) -> None:
    """Producers learn every field, which of them is required, and that more are welcome."""
    schema = specification["components"]["schemas"]["Document"]
    assert set(schema["properties"]) == {
        *("id", "title", "body", "url", "source", "tags", "language", "published_at", "metadata")
    }
    assert schema["required"] == ["body"]
    assert schema["additionalProperties"] is True


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [reference for child in node.values() for reference in _references(child)]
    if isinstance(node, list):
        return [reference for child in node for reference in _references(child)]
    return []
