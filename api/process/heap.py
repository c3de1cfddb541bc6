"""Keeps the garbage collector away from what a process holds for all of its life.

Modules and open indexes are some 200,000 objects, which a full collection walks while no request goes on: a quarter of
a second on a small machine, in which searches miss their deadlines and breakers open.
"""

import gc


def set_heap_aside() -> None:
    """Collect what start-up has left behind, and never look at the rest again."""
    gc.collect()
    gc.freeze()
