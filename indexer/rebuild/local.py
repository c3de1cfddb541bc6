"""The generations of an index on local files.

<root>/<index>/rebuild.lock                 held by a rebuild while it works
<root>/<index>/<generation>/rebuild.json    its record
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from indexer.backend import SearchBackend
from indexer.dump import IndexDump, ThreadedDump
from indexer.durable import make_directory, replace_file
from indexer.errors import GenerationUnusable
from indexer.file_lock import FileLock
from indexer.generation import (
    Generation,
    GenerationSettings,
    Pointer,
    changing,
    check_format,
    create_generation,
    forget_previous,
    generation_names,
    mend_pointer,
    open_or_create_live,
    pointer_is_sound,
    promote,
    read_generation,
    read_pointer,
    remove_generation,
)
from indexer.local_engine import LocalEngine
from indexer.rebuild.phases import GenerationInfo, Phase, RebuildRecord, in_phase, may_drop, told_phases
from indexer.threaded import FixedSearcher, ThreadedBackend, ThreadedWriter, open_held
from indexer.writer import IndexWriter
from streams.settings import Settings

_LOCK: Final = "rebuild.lock"
_RECORD: Final = "rebuild.json"
_UNREADABLE: Final = "what it was built with cannot be read"


class LocalCatalogue:
    """`Catalogue` of an index on local files.

    Args:
        root: folder of all local indexes.
        index: its name.
        engine: gives its engine, which whoever only swaps generations need not wait for: it takes long to load.
        settings: that generations are made under.
    """

    def __init__(self, root: Path, index: str, engine: Callable[[], LocalEngine], settings: Settings) -> None:
        self._root = root
        self._index = index
        self._engine = engine
        self._system = settings

    async def generations(self) -> Sequence[GenerationInfo]:
        """As `Catalogue.generations`."""
        return await asyncio.to_thread(self._generations)

    @asynccontextmanager
    async def rebuilding(self) -> AsyncIterator[None]:
        """As `Catalogue.rebuilding`."""
        home = self._root / self._index
        make_directory(home)
        lock = FileLock(home / _LOCK)
        try:
            yield
        finally:
            lock.release()

    async def mend(self) -> str | None:
        """As `Catalogue.mend`."""
        return await asyncio.to_thread(self._mend)

    async def prepare(self) -> str:
        """As `Catalogue.prepare`."""
        return await asyncio.to_thread(self._prepare)

    async def tell(self, name: str, record: RebuildRecord) -> None:
        """As `Catalogue.tell`."""
        await asyncio.to_thread(self._tell, name, record)

    async def promote(self, name: str) -> None:
        """As `Catalogue.promote`."""
        await asyncio.to_thread(self._promote, name)

    async def drop(self, seen: GenerationInfo) -> bool:
        """As `Catalogue.drop`."""
        return await asyncio.to_thread(self._drop, seen)

    async def ensure_live(self) -> str:
        """As `Catalogue.ensure_live`."""
        return (await asyncio.to_thread(lambda: open_or_create_live(self._root, self._settings()))).name

    async def open_writer(self, name: str) -> IndexWriter:
        """As `Catalogue.open_writer`."""
        return await ThreadedWriter.open(self._index, lambda: open_held(self._writable(name), self._engine().writer))

    @asynccontextmanager
    async def open_dump(self, name: str) -> AsyncIterator[IndexDump]:
        """As `Catalogue.open_dump`."""
        searcher = await asyncio.to_thread(lambda: open_held(self._read(name), self._engine().searcher))
        try:
            yield ThreadedDump(await asyncio.to_thread(searcher.dump))
        finally:
            searcher.close()

    @asynccontextmanager
    async def open_backend(self, name: str) -> AsyncIterator[SearchBackend]:
        """As `Catalogue.open_backend`."""
        searcher = await asyncio.to_thread(lambda: open_held(self._read(name), self._engine().searcher))
        backend = ThreadedBackend(FixedSearcher(searcher), name=f"{self._index}-{name}", threads=1)
        try:
            yield backend
        finally:
            await backend.close()

    def _generations(self) -> Sequence[GenerationInfo]:
        built_with: dict[str, str] = {}
        for name in generation_names(self._root, self._index):
            try:
                built_with[name] = _in_words(self._read(name).settings)
            except GenerationUnusable:
                built_with[name] = _UNREADABLE
        return told_phases(self._pointer(), built_with, self._records(built_with))

    def _settings(self) -> GenerationSettings:
        return self._engine().settings(self._system)

    def _pointer(self) -> Pointer | None:
        return read_pointer(self._root, self._index)

    def _read(self, name: str) -> Generation:
        return read_generation(self._root, self._index, name)

    def _writable(self, name: str) -> Generation:
        generation = self._read(name)
        check_format(generation, self._settings())
        return generation

    def _record(self, name: str) -> Path:
        return self._root / self._index / name / _RECORD

    def _tell(self, name: str, record: RebuildRecord) -> None:
        replace_file(self._record(name), msgspec.json.encode(record))

    def _mend(self) -> str | None:
        with changing(self._root, self._index):
            if pointer_is_sound(self._root, self._index):
                return None
            records = self._records(names := generation_names(self._root, self._index))
            told = told_phases(None, dict.fromkeys(names, ""), records)
            unfit = {each.name for each in in_phase(told, Phase.REPLAYING, Phase.REFUSED)}
            sound = [name for name in names if name not in unfit and self._is_usable(name)]
            return mend_pointer(self._root, self._settings(), sound)

    def _is_usable(self, name: str) -> bool:
        try:
            self._writable(name)
        except GenerationUnusable:
            return False
        return True

    def _records(self, names: Iterable[str]) -> dict[str, RebuildRecord]:
        records: dict[str, RebuildRecord] = {}
        for name in names:
            with suppress(OSError, msgspec.DecodeError):
                records[name] = msgspec.json.decode(self._record(name).read_bytes(), type=RebuildRecord)
        return records

    def _prepare(self) -> str:
        with changing(self._root, self._index):
            unfinished = in_phase(self._generations(), Phase.REPLAYING, Phase.READY, Phase.REFUSED)
            for generation in reversed(unfinished):
                if generation.phase is Phase.REPLAYING and self._has_these_settings(generation.name):
                    return generation.name
            for generation in unfinished:
                remove_generation(self._root, self._index, generation.name)
            made = create_generation(self._root, self._settings())
            self._tell(made.name, RebuildRecord().told())  # before the lock is let go of: without it, it is retired
            return made.name

    def _has_these_settings(self, name: str) -> bool:
        try:
            return self._read(name).settings == self._settings()
        except GenerationUnusable:
            return False

    def _promote(self, name: str) -> None:
        with changing(self._root, self._index):
            promote(self._root, self._read(name))

    def _drop(self, seen: GenerationInfo) -> bool:
        with changing(self._root, self._index):
            if not may_drop(self._index, seen, self._generations()):
                return False
            if seen.phase is Phase.PREVIOUS:
                forget_previous(self._root, self._index)
            return remove_generation(self._root, self._index, seen.name)


def _in_words(settings: GenerationSettings) -> str:
    analyzer = f", analyzer {settings.analyzer}" if settings.analyzer else ""
    return f"format {settings.format_version}{analyzer}"
