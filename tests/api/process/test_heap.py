"""What a worker leaves out of its garbage collections."""

import subprocess
import sys

_SCRIPT = """
import gc
from api.process.heap import set_heap_aside
class Node: pass
def cycle():
    node = Node()
    node.own = node
cycle()
set_heap_aside()
left = [each for each in gc.get_objects() if isinstance(each, Node)]
print(len(left), gc.get_freeze_count() > 1_000, len(gc.get_objects()) < 1_000)
cycle()
print(gc.collect() > 0)
"""


_FUSING = """
import gc
from api.process.heap import YOUNG_OBJECTS, set_heap_aside
set_heap_aside()
def collections(objects):
    before = gc.get_stats()[0]["collections"]
    held = [[] for _ in range(objects)]
    return gc.get_stats()[0]["collections"] - before
print(collections(YOUNG_OBJECTS // 2), collections(2 * YOUNG_OBJECTS) > 0)
"""


def test_what_is_there_at_the_start_is_not_walked_again_and_what_comes_later_is() -> None:
    """In a process of its own, for it changes the collector of the one that it runs in."""
    told = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["0", "True", "True", "True"]


def test_what_one_search_makes_is_not_looked_through() -> None:
    """It lives until the answer is sent; much more than that is."""
    told = subprocess.run([sys.executable, "-c", _FUSING], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["0", "True"]
