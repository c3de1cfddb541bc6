"""What the system measures about itself.

`names` is the closed list of metrics, `counters` what one process writes, `processes` tells which of them still run,
`shared` sums the files of all of them, and `exposition` writes the text that Prometheus reads.

The processes of one machine share the directory `PROMETHEUS_MULTIPROC_DIR`, and whichever of them is scraped answers
for all. Counts add up, over processes that have ended too; gauges that a process writes hold as long as it lives. All
other gauges describe the system as it is (documents, lag, memory): they are read when they are asked for.
"""

from streams.metrics.counters import Metrics, open_metrics
from streams.metrics.exposition import expose, gauge_family
from streams.metrics.names import FaultKind, Metric, PoolState, SearchStatus, Shortage
from streams.metrics.processes import MULTIPROCESS_VARIABLE, shared_directory

__all__ = [
    "MULTIPROCESS_VARIABLE",
    "FaultKind",
    "Metric",
    "Metrics",
    "PoolState",
    "SearchStatus",
    "Shortage",
    "expose",
    "gauge_family",
    "open_metrics",
    "shared_directory",
]
