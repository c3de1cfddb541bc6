"""Processors: how many this process may use, which a container or `taskset` can make fewer than there are."""

import os


def usable_processors() -> int:
    """How many there are for this process, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
