"""A process of its own that runs hostile patterns from several threads, and says how much memory that took at most."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

from indexer.backend import Query
from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded, InvalidQuery
from indexer.generation import open_or_create_live
from indexer.native import NativeSearcher, generation_settings
from indexer.resources.memory import process_bytes
from indexer.threaded import SEARCH_THREADS

SECONDS_A_QUERY = 0.3


def patterns() -> Iterator[str]:
    """Distinct ones, more than are kept compiled: large automata, large programs, what is refused."""
    for number in range(20):
        yield f"/(a|b)*a(a|b){{{180 + number}}}c/i"
        yield f"/(.{{0,{20 + number}}}a){{20}}x/"
        yield f"/(x+x+)+y|[ab]*a[ab]{{{480 + number}}}c/"
        yield f"/\\pL{{{100 + number}}}[^a-y]/"
        yield "/" + "|".join(f"(?:[ab]*{each}{number}){{4}}" for each in range(60)) + "/"
        yield "/" + "|".join(str(each) for each in range(number, 10_000 + number)) + "/"
        yield f"/((a{{{80 + number}}}){{99}}){{99}}/"


def main(root: Path) -> None:
    """Print the bytes that were added at most, and how the searches ended."""
    searcher = NativeSearcher(open_or_create_live(root, generation_settings()))
    _ask(searcher, "/warm.*up/")
    before, done, peak = process_bytes(), Event(), [0]

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], process_bytes())

    watching = Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(SEARCH_THREADS) as threads:
        ends = list(threads.map(lambda pattern: _ask(searcher, pattern), patterns()))
    done.set()
    watching.join()
    print(peak[0] - before, *(ends.count(end) for end in ("answered", "late", "refused")))  # noqa: T201 - for the test


def _ask(searcher: NativeSearcher, pattern: str) -> str:
    try:
        searcher.search(Query(pattern, 10, Deadline.after(SECONDS_A_QUERY)))
    except DeadlineExceeded:
        return "late"
    except InvalidQuery:
        return "refused"
    return "answered"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
