"""`embed-search dlq` against a real broker, as an operator types it."""

import json

from tests.streams.kafka import make_topics, produce, records_of
from tests.system.processes import run_command

HEADERS = [
    ("error-class", b"not-json"),
    ("error-message", b"value is not JSON"),
    ("source-partition", b"0"),
    ("source-offset", b"0"),
    ("index", b"*"),
    ("attempts", b"1"),
    ("time", b"2024-01-31T12:00:00.123+00:00"),
]


async def test_an_operator_finds_reads_replays_and_purges_a_dead_letter(kafka_bootstrap: str) -> None:
    """From the list to the empty topic, with the broker named by its variable; control characters never arrive."""
    topic = await make_topics(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, [(b"a", b"{\x1b[2J")])
    headers = [*HEADERS, ("source-topic", topic.encode())]
    await produce(kafka_bootstrap, f"{topic}.dlq", [(b"a", b"{\x1b[2J")], headers=headers)
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "EMBED_SEARCH_TOPIC": topic}

    listed = run_command(["dlq", "list"], environment)
    assert listed.returncode == 0, listed.stderr
    assert all(text in listed.stdout for text in ("0:0", "not-json", "value is not JSON", topic))
    (described,) = json.loads(run_command(["dlq", "list", "--index", "*", "--json"], environment).stdout)
    assert described["source"] == {"topic": topic, "partition": 0, "offset": 0}
    assert json.loads(run_command(["dlq", "list", "--index", "bm25", "--json"], environment).stdout) == []

    shown = run_command(["dlq", "show", "0:0"], environment)
    assert "value: {\\x1b[2J" in shown.stdout
    missing = run_command(["dlq", "show", "0:9"], environment)
    assert (missing.returncode, missing.stderr) == (1, "embed-search: there is no dead letter 0:9\n")

    foreseen = run_command(["dlq", "replay", "--all", "--dry-run"], environment)
    assert foreseen.stdout == "would replay 1 dead letters\n"
    assert len(await records_of(kafka_bootstrap, topic)) == 1
    assert run_command(["dlq", "replay", "0:0"], environment).stdout == "replayed 1 dead letters\n"
    assert [record.value for record in await records_of(kafka_bootstrap, topic)] == [b"{\x1b[2J"] * 2
    again = run_command(["dlq", "replay", "--all"], environment)
    assert again.stderr == "skipped 0:0: its document has a newer version\n"

    assert run_command(["dlq", "purge", "--all"], environment).stdout == "purged 1 dead letters\n"
    assert run_command(["dlq", "list", "--json"], environment).stdout == "[]\n"
