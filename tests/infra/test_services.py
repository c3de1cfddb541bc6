"""The services that all tests share are the real thing."""

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


async def test_kafka_gives_back_what_was_produced(kafka_bootstrap: str) -> None:
    """A record that the broker acknowledged is read again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("services-probe", num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, enable_idempotence=True) as producer:
        await producer.send_and_wait("services-probe", b"value", key=b"key")
    async with AIOKafkaConsumer(
        "services-probe", bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        record = await consumer.getone()
    assert (record.key, record.value) == (b"key", b"value")


async def test_postgres_has_pgvector(database_dsn: str) -> None:
    """The extension can be made in a test's own database and measures distances."""
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("CREATE EXTENSION vector")
    distance = await connection.fetchval("SELECT '[1,0]'::halfvec <-> '[1,2]'::halfvec")
    await connection.close()
    assert distance == 2.0


async def test_each_test_has_a_database_of_its_own(database_dsn: str) -> None:
    """Nothing of another test is in it, not even the extension that another one made."""
    connection = await asyncpg.connect(database_dsn)
    tables = await connection.fetch("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
    extensions = await connection.fetch("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
    await connection.close()
    assert (tables, extensions) == ([], [])
