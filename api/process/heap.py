"""Keeps the garbage collector away from what a process holds for all of its life.

Modules and open indexes are some 200,000 objects, which a full collection walks while no request goes on: a quarter of
a second on a small machine, in which searches miss their deadlines and breakers open.
"""

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000
"""How many more there are until the collector looks through the youngest. Fusing the hits of one search makes more than
Python's 700, and all of them live: 15 collections a second, which found nearly nothing, took 4 % of what a worker
computes. Searches leave three objects each in circles, which wait for half a minute where 50 come in a second."""


def set_heap_aside() -> None:
    """Collect what start-up has left behind, never look at the rest again, and seldom at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
