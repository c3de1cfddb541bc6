"""Loads the sample corpus into a running local system, once."""

import asyncio
import platform
import sys
from pathlib import Path
from typing import Final

import msgspec

from indexer.durable import replace_file
from infra.corpus.publish import CorpusPublisher
from infra.corpus.readers import read_documents
from infra.local.follow import Progress, follow
from infra.supervisor.service import StartError
from streams.cluster import KafkaAddress
from streams.document import MAX_BODY_BYTES
from streams.watermark import Token

CORPUS_FILE: Final = "sample.ndjson"

_COLLECT_SECONDS: Final = 120.0


class SampleRecord(msgspec.Struct, frozen=True):
    """What was loaded, so that the next start does not publish it again."""

    python: str
    topic: str
    token: str
    documents: int | None = None


class SampleLoader:
    """Publishes the sample corpus and follows it into the indexes.

    Args:
        directory: keeps the note of what was loaded.
        bootstrap_servers: of Kafka, and how to get in.
        topic: of documents.
        url: of the API, which knows how far each index is.
        documents: how many to load, from all over the corpus; None for all.
    """

    def __init__(
        self,
        directory: Path,
        *,
        bootstrap_servers: KafkaAddress,
        topic: str,
        url: str,
        documents: int | None = None,
    ) -> None:
        self._note = directory / "sample.json"
        self._corpus = directory / CORPUS_FILE
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._url = url
        self._documents = documents

    async def load(self, on_progress: Progress) -> None:
        """Publish the corpus unless it was, and wait until every index has all of it.

        Raises:
            StartError: the corpus cannot be collected.
            StreamUnavailable: Kafka does not take it.
        """
        token = self._loaded_before() or await self._publish(on_progress)
        await follow(self._url, Token.decode(token), on_progress)

    def _loaded_before(self) -> str:
        try:
            record = msgspec.json.decode(self._note.read_bytes(), type=SampleRecord)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return ""
        wanted = platform.python_version(), self._topic, self._documents
        return record.token if (record.python, record.topic, record.documents) == wanted else ""

    async def _publish(self, on_progress: Progress) -> str:
        on_progress("collecting", 0.0)
        await self._collect()
        if self._documents is not None:
            await asyncio.to_thread(_thin, self._corpus, self._documents)
        size = max(1, self._corpus.stat().st_size)
        read = 0

        def advance(count: int) -> None:
            nonlocal read
            read += count
            on_progress("publishing", read / size)

        on_progress("collecting", 1.0)
        entries = read_documents(self._corpus, kind="ndjson", source="", max_body_bytes=MAX_BODY_BYTES)
        publisher = CorpusPublisher(self._bootstrap_servers, self._topic, on_progress=advance)
        report = await publisher.publish(entries)
        record = SampleRecord(platform.python_version(), self._topic, report.token, self._documents)
        replace_file(self._note, msgspec.json.encode(record))
        return report.token

    async def _collect(self) -> None:
        """In a process of its own: importing the whole standard library leaves traces."""
        with self._corpus.open("wb") as corpus:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "infra.corpus.sample", stdout=corpus, stderr=asyncio.subprocess.DEVNULL
            )
            try:
                async with asyncio.timeout(_COLLECT_SECONDS):
                    status = await process.wait()
            except TimeoutError as exc:
                process.kill()
                raise StartError(f"the sample corpus was not collected in {_COLLECT_SECONDS:.0f} s") from exc
        if status:
            raise StartError(
                f"the sample corpus cannot be collected: `python -m infra.corpus.sample` ended with {status}"
            )


def _thin(corpus: Path, wanted: int) -> None:
    """Leave so many lines of a file, at even distances."""
    lines = corpus.read_bytes().splitlines(keepends=True)
    if wanted < len(lines):
        replace_file(corpus, b"".join(lines[number * len(lines) // wanted] for number in range(wanted)))
