"""A process of its own that judges many made-up documents, and says how much memory that took at most."""

import sys
from pathlib import Path
from threading import Event, Thread

from indexer.resources.memory import process_bytes
from infra.verification.judgement import judge
from infra.verification.spill import PARTS, Spill

FAULTY_OF = 1_000


def main(directory: Path, count: int) -> None:
    """Print the bytes that were added at most, the rows of the largest part, and the faults of each class."""
    _judge_all(directory / "warm-up", 1_000)  # numpy takes memory with its first use
    before, done, peak = process_bytes(), Event(), [0]

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], process_bytes())

    watching = Thread(target=watch)
    watching.start()
    largest, counts = _judge_all(directory / "measured", count)
    done.set()
    watching.join()
    sys.stdout.write(" ".join(map(str, (peak[0] - before, largest, *counts))))


def _judge_all(directory: Path, count: int) -> tuple[int, list[int]]:
    directory.mkdir()
    with (
        Spill(directory / "topic", newest_only=True) as topic,
        Spill(directory / "index") as index,
        Spill(directory / "refused") as refused,
    ):
        for number in range(count):
            _add(topic, index, number)
        topic.flush()
        index.flush()
        counts, largest = [0] * 4, 0
        for number in range(PARTS):
            rows, held = topic.part(number), index.part(number)
            largest = max(largest, len(rows), len(held))
            judged = judge(rows, held, refused.part(number), {0: count})
            found = (judged.missing, judged.stale, judged.extra, judged.different)
            counts = [before + len(each.rows) for before, each in zip(counts, found, strict=True)]
    return largest, counts


def _add(topic: Spill, index: Spill, number: int) -> None:
    """One of a thousand is missing, one stale, one extra, one different."""
    name, kind = f"documents/{number:012d}.txt", number % FAULTY_OF
    if kind != 2:
        topic.add(name, 0, number)
    if kind != 0:
        index.add(name, 0, number - (kind == 1), content=int(kind == 3))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
