"""The generations of the semantic index, in PostgreSQL; see `indexer.semantic.schema` for their tables."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from indexer.backend import SearchBackend
from indexer.dump import IndexDump
from indexer.errors import BackendUnavailable, GenerationUnusable, WriterFailed, WriterLocked
from indexer.generation import Pointer, next_name
from indexer.rebuild.phases import GenerationInfo, Phase, RebuildRecord, in_phase, may_drop, told_phases
from indexer.semantic.dumping import open_dump
from indexer.semantic.embedders import Embedders
from indexer.semantic.passages import PassageSettings
from indexer.semantic.pool import index_faults
from indexer.semantic.schema import (
    SCHEMA,
    SemanticGeneration,
    SemanticSettings,
    changing,
    create_generation,
    drop_generation,
    generation_of,
    make_table_of_generations,
    named_generation,
    open_or_create_live,
)
from indexer.semantic.superseded import Superseded
from indexer.semantic.writer import SemanticWriter
from indexer.writer import IndexWriter
from streams.tracing import Tracer

APPLICATION: Final = "embed-search generations"
"""What PostgreSQL is told who asks."""

CONNECT_TIMEOUT_SECONDS: Final = 10.0
COMMAND_TIMEOUT_SECONDS: Final = 60.0

_REBUILDS: Final = 0x656D_6265_6473_6562  # "embedseb": the advisory lock that a rebuild holds
_LOCK_TIMEOUT: Final = "5s"
"""Readers that begin while tables wait to be dropped would wait as well."""

_log = structlog.stdlib.get_logger(__name__)


class SemanticCatalogue:
    """`Catalogue` of the semantic index; whoever opens it closes it.

    Args:
        database_url: of PostgreSQL.
        embedders: the models; the caller ends them.
        open_backend: a reader of the generation of that name.
        tracer: of this process, for the statements of commits.
    """

    def __init__(
        self,
        database_url: str,
        embedders: Embedders,
        open_backend: Callable[[SemanticGeneration], SearchBackend],
        tracer: Tracer | None = None,
    ) -> None:
        self._database_url = database_url
        self._embedders = embedders
        self._open_backend = open_backend
        self._tracer = tracer
        self._asking = asyncio.Lock()
        self._kept: Any = None

    async def generations(self) -> Sequence[GenerationInfo]:
        """As `Catalogue.generations`; somebody asks every second, so the connection is kept."""
        async with self._asking:
            if self._kept is not None and not self._kept.is_closed():
                try:
                    return await self._ask(self._kept)
                # The server may have been started anew meanwhile; where its goodbye has arrived but was not read yet,
                # asyncpg speaks of an error of its own.
                except (BackendUnavailable, asyncpg.InternalClientError):
                    _log.info("asking for generations over another connection")
            with index_faults(usable=True):
                self._kept = await self._connect()
            return await self._ask(self._kept)

    async def close(self) -> None:
        """Let go of the connection that is kept."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.terminate()

    async def _ask(self, connection: Any) -> Sequence[GenerationInfo]:  # noqa: ANN401 - asyncpg ships no types
        """Over a connection that is not kept when anything goes wrong with it, a caller that gives up included."""
        try:
            with index_faults(usable=True):
                return await _generations(connection)
        except BaseException:
            await self.close()
            raise

    async def mend(self) -> str | None:
        """As `Catalogue.mend`: what says which one is live is in the same table, and PostgreSQL keeps that whole."""
        return None

    @contextlib.asynccontextmanager
    async def rebuilding(self) -> AsyncIterator[None]:
        """As `Catalogue.rebuilding`; the lock goes with the connection."""
        async with self._connection() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _REBUILDS):
                raise WriterLocked("another rebuild of semantic works")
            yield

    async def prepare(self) -> str:
        """As `Catalogue.prepare`."""
        embedder = await self._embedders.default()
        settings = SemanticSettings.of(embedder.description, PassageSettings())
        async with self._connection() as connection, changing(connection):
            await make_table_of_generations(connection)
            known = await _generations(connection)
            unfinished = in_phase(known, Phase.REPLAYING, Phase.READY, Phase.REFUSED)
            for each in reversed(unfinished):
                if each.phase is Phase.REPLAYING:
                    with contextlib.suppress(GenerationUnusable):  # of another format
                        if (await named_generation(connection, each.name)).settings == settings:
                            return each.name
            for each in unfinished:
                await drop_generation(connection, each.name)
            name = next_name(each.name for each in known if each not in unfinished)
            made = SemanticGeneration(name, settings, str(embedder.model_path))
            await create_generation(connection, made, live=False, rebuild=_encoded(RebuildRecord().told()))
        return name

    async def tell(self, name: str, record: RebuildRecord) -> None:
        """As `Catalogue.tell`."""
        async with self._connection() as connection:
            await connection.execute(
                f"UPDATE {SCHEMA}.generations SET rebuild = $2 WHERE name = $1",  # noqa: S608 - a constant
                name,
                _encoded(record),
            )

    async def promote(self, name: str) -> None:
        """As `Catalogue.promote`."""
        async with self._connection() as connection, changing(connection):
            await named_generation(connection, name)
            live = await connection.fetchval(f"SELECT name FROM {SCHEMA}.generations WHERE live")  # noqa: S608 - a constant
            if live == name:
                return
            # Two statements, for no two may be live at any moment; seen by others together.
            await connection.execute(
                f"UPDATE {SCHEMA}.generations SET previous = live, live = false WHERE live OR previous"  # noqa: S608 - a constant
            )
            await connection.execute(
                f"UPDATE {SCHEMA}.generations SET live = true, previous = false,"  # noqa: S608 - a constant
                " swapped_at = extract(epoch FROM now())::bigint WHERE name = $1",
                name,
            )

    async def drop(self, seen: GenerationInfo) -> bool:
        """As `Catalogue.drop`."""
        async with self._connection() as connection:
            try:
                async with changing(connection):
                    if not may_drop("semantic", seen, await _generations(connection)):
                        return False
                    await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                    await drop_generation(connection, seen.name)
            except asyncpg.LockNotAvailableError:
                return False
        return True

    async def ensure_live(self) -> str:
        """As `Catalogue.ensure_live`."""
        with _writer_faults():
            async with self._connection() as connection:
                live = next(iter(in_phase(await _generations(connection), Phase.LIVE)), None)
                if live is not None:
                    return live.name
                embedder = await self._embedders.default()
                settings = SemanticSettings.of(embedder.description, PassageSettings())
                return (await open_or_create_live(connection, settings, str(embedder.model_path))).name

    async def open_writer(self, name: str) -> IndexWriter:
        """As `Catalogue.open_writer`."""
        with _writer_faults():
            async with self._connection() as connection:
                generation = await named_generation(connection, name)
                superseded = await _superseded(connection, name)
        embedder = await self._embedders.of(generation)
        return await SemanticWriter.open(
            self._database_url,
            embedder,
            generation=generation,
            tracer=self._tracer,
            superseded=superseded,
            recent=self._embedders.recent(embedder),
        )

    @contextlib.asynccontextmanager
    async def open_dump(self, name: str) -> AsyncIterator[IndexDump]:
        """As `Catalogue.open_dump`."""
        async with open_dump(self._database_url, name) as dump:
            yield dump

    @contextlib.asynccontextmanager
    async def open_backend(self, name: str) -> AsyncIterator[SearchBackend]:
        """As `Catalogue.open_backend`."""
        async with self._connection() as connection:
            generation = await named_generation(connection, name)
        backend = self._open_backend(generation)
        try:
            yield backend
        finally:
            await backend.close()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with index_faults(usable=True):
            connection = await self._connect()
            try:
                yield connection
            finally:
                connection.terminate()  # what was done is committed, and a server that hangs must not hold us up

    async def _connect(self) -> Any:  # noqa: ANN401 - asyncpg ships no types
        return await asyncpg.connect(
            self._database_url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings={"application_name": APPLICATION},
        )


@contextlib.contextmanager
def _writer_faults() -> Iterator[None]:
    try:
        yield
    except BackendUnavailable as exc:
        raise WriterFailed(str(exc)) from exc


async def _generations(connection: Any) -> Sequence[GenerationInfo]:  # noqa: ANN401 - asyncpg ships no types
    try:
        rows = await connection.fetch(
            f"SELECT name, settings, model_path, live, previous, swapped_at, rebuild FROM {SCHEMA}.generations"  # noqa: S608 - a constant
        )
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return ()  # nothing was made there yet
    live = next((row for row in rows if row["live"]), None)
    previous = next((row["name"] for row in rows if row["previous"]), None)
    return told_phases(
        None if live is None else Pointer(live["name"], previous, live["swapped_at"]),
        {row["name"]: _in_words(row) for row in rows},
        {row["name"]: msgspec.json.decode(row["rebuild"], type=RebuildRecord) for row in rows if row["rebuild"]},
    )


async def _superseded(connection: Any, name: str) -> Superseded | None:  # noqa: ANN401 - see above
    """What need not be embedded for a generation; None unless a rebuild fills it beside a live one."""
    known = await _generations(connection)
    live = in_phase(known, Phase.LIVE)
    if not live or name not in (each.name for each in in_phase(known, Phase.REPLAYING)):
        return None
    try:
        return await Superseded.by(connection, await named_generation(connection, live[0].name), name)
    except GenerationUnusable:  # of another format
        return None


def _in_words(row: Any) -> str:  # noqa: ANN401 - see above
    try:
        settings = generation_of(row).settings
    except GenerationUnusable as exc:
        return str(exc)
    return f"format {settings.format_version}, model {settings.model_name} {settings.model_sha256[:12]}"


def _encoded(record: RebuildRecord) -> str:
    return msgspec.json.encode(record).decode()
