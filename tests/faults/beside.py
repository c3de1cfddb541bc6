"""What goes on in a thread of its own for as long as a block runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(run: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    """Run something beside the block.

    Args:
        run: goes on until it is told to stop.
        stop: tells it, at the end of the block.
    """
    thread = threading.Thread(target=run, name=run.__qualname__)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
