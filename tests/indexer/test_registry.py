"""What the settings make of an index."""

import subprocess
import sys
from array import array

import pytest

from indexer.native import compile_pattern
from indexer.registry import LOCAL_ENGINES, open_backend
from indexer.resources import MemoryGuard, MemoryLimit
from indexer.segment.blocks import RECENT, Block
from streams.metrics import Metrics
from streams.settings import Settings


@pytest.mark.parametrize(
    ("stemmer", "stop_words", "analyzer"),
    [
        ("english", "english", "english"),
        ("none", "none", "plain"),
        ("german", "none", "stemmer=german,stop_words=none"),
    ],
)
def test_bm25_is_built_with_the_analyzer_of_the_settings(stemmer: str, stop_words: str, analyzer: str) -> None:
    """A generation says by name what its terms were made with."""
    settings = Settings(bm25_stemmer=stemmer, bm25_stop_words=stop_words)
    assert LOCAL_ENGINES["bm25"].settings(settings).analyzer == analyzer


@pytest.mark.parametrize("index", ["tantivy", "native"])
def test_other_indexes_do_not_depend_on_it(index: str) -> None:
    """A change of bm25's analysis does not ask for building them anew."""
    engine = LOCAL_ENGINES[index]
    assert engine.settings(Settings(bm25_stemmer="german")) == engine.settings(Settings())


def test_each_engine_makes_generations_of_its_own_name() -> None:
    """An index is found by the name it is listed under."""
    assert {name: engine.settings(Settings()).index for name, engine in LOCAL_ENGINES.items()} == {
        name: name for name in LOCAL_ENGINES
    }


def test_an_engine_is_imported_when_it_is_asked_for() -> None:
    """An indexer of another index, or a command that only swaps generations, need not load the kernels."""
    asked = "import sys; from indexer.registry import LOCAL_ENGINES; assert 'bm25' in LOCAL_ENGINES; "
    loaded = "LOCAL_ENGINES[{!r}]; print('numba' in sys.modules)"
    for engine, kernels in (("tantivy", "False"), ("bm25", "True")):
        argv = [sys.executable, "-c", asked + loaded.format(engine)]
        assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == kernels


async def test_compiled_patterns_are_given_up_when_memory_is_short() -> None:
    """Whoever opens the index for searching has its cache emptied by the guard."""
    memory = MemoryGuard(MemoryLimit(100, "test", lambda: 75))
    backend = open_backend("native", Settings(), Metrics(), memory)
    kept = compile_pattern("needle")
    assert compile_pattern("needle") is kept
    await memory.relieve()
    assert compile_pattern("needle") is not kept
    await backend.close()


@pytest.mark.parametrize("index", ["bm25", "native"])
async def test_unpacked_documents_are_given_up_when_memory_is_short(index: str) -> None:
    """Both engines that read them have them emptied, whichever of the two is searched."""
    memory = MemoryGuard(MemoryLimit(100, "test", lambda: 75))
    backend = open_backend(index, Settings(), Metrics(), memory)
    segment = object()
    RECENT.add(segment, 0, Block(b"", array("Q", [0])))
    await memory.relieve()
    assert RECENT.get(segment, 0) is None
    await backend.close()
