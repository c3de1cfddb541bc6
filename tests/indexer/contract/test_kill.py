"""A writer process that is killed at any moment leaves one commit, whole."""

import random
import subprocess
import sys
from pathlib import Path

from indexer.deadline import Deadline
from indexer.generation import open_or_create_live
from indexer.registry import LOCAL_ENGINES
from streams.change import Upsert
from streams.document import DocumentId
from streams.settings import Settings
from tests.indexer.contract.endless_writer import DOCUMENTS, change_at
from tests.indexer.contract.harness import SOON

KILLS = 6
REPOSITORY = Path(__file__).parents[3]


def _write_until_killed(engine: str, root: Path, commits: int) -> int:
    """Run a writer and kill it right after it has printed so many commits, in the middle of the next one.

    Returns:
        the last offset that it said was committed.
    """
    command = [sys.executable, "-m", "tests.indexer.contract.endless_writer", engine, str(root)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = [int(process.stdout.readline()) for _ in range(commits)]
        process.kill()
        unread = process.stdout.read().split(b"\n")[:-1]
    return max(printed + [int(line) for line in unread])


def _expected(following: int) -> dict[str, str]:
    """Bodies by id of the stream folded up to an offset."""
    documents: dict[str, str] = {}
    for change in map(change_at, range(following)):
        documents.pop(change.id, None)
        if isinstance(change, Upsert):
            documents[change.id] = change.document.body
    return documents


def test_killed_writer_leaves_a_whole_commit(engine: str, tmp_path: Path) -> None:
    """After each kill the index is the stream up to its own watermark, and no commit that was reported is lost."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    registered = LOCAL_ENGINES[engine]
    ids = [DocumentId(f"d{number}") for number in range(DOCUMENTS)]
    for _ in range(KILLS):
        reported = _write_until_killed(engine, tmp_path, chance.randint(1, 40))
        generation = open_or_create_live(tmp_path, registered.settings(Settings()))
        writer = registered.writer(generation)
        following = writer.watermark().offsets[0]
        writer.close()
        searcher = registered.searcher(generation)
        stored = searcher.fetch(ids, Deadline.after(SOON))
        assert following >= reported, f"seed {seed}"
        assert {name: each.document.body for name, each in stored.items()} == _expected(following), f"seed {seed}"
        assert searcher.stats().documents == len(stored), f"seed {seed}"
        searcher.close()
