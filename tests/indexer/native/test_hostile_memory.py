"""What hostile patterns can take of a process's memory, in a process that runs nothing else."""

import subprocess
import sys
from pathlib import Path
from random import Random

from indexer.generation import open_or_create_live
from indexer.native import NativeWriter, generation_settings
from indexer.native.pattern import _COMPILED_PATTERNS, REGEX_MEMORY_BYTES
from indexer.threaded import SEARCH_THREADS
from tests.indexer.contract.changes import upsert, watermark_after

_MEBIBYTE = 1 << 20


def test_hostile_patterns_take_bounded_memory(tmp_path: Path) -> None:
    """Of many patterns whose automata grow with the text, as many as are kept, and as much for each as is allowed."""
    random = Random(5)
    lines = _MEBIBYTE // 8_000
    bodies = ["\n".join("".join(random.choices("ab", k=7_999)) for _ in range(lines)) for _ in range(3)]
    changes = [upsert(f"d{number}", body, offset=number) for number, body in enumerate(bodies)]
    writer = NativeWriter(open_or_create_live(tmp_path, generation_settings()))
    writer.apply(changes)
    writer.commit(watermark_after(*changes))
    writer.close()
    command = [sys.executable, "-m", "tests.indexer.native.hostile_reading", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, answered, late, refused = map(int, done.stdout.split())
    assert grown < (_COMPILED_PATTERNS + SEARCH_THREADS) * REGEX_MEMORY_BYTES
    assert answered + late + refused == 140
    assert refused == 60
    assert late > 0
    assert done.stderr == ""
