"""The search methods as the API uses them: each backend within its policies, put together in one place."""

from collections.abc import Mapping
from typing import Final

import msgspec

from api.backends.breaking import BreakingBackend, MethodBreaker
from api.backends.guarded import GuardedBackend
from api.backends.measured import MeasuredBackend
from api.backends.traced import TracedBackend
from indexer.backend import SearchBackend
from streams.metrics import Metrics
from streams.settings import Settings
from streams.tracing import Tracer

ORDERS_DIRECTORY: Final = "breakers"
"""Under the data directory: what operators ordered the breakers to do."""


class Methods(msgspec.Struct, frozen=True):
    """Each by method.

    Attributes:
        searched: what requests use: they keep their deadline, raise nothing but `IndexFault`, are seen in metrics and,
            if anybody sees those, in traces, and are not called while their breaker is open.
        probed: what health looks through: it must see a backend as it is, whatever its breaker says.
        breakers: of this worker.
    """

    searched: Mapping[str, SearchBackend]
    probed: Mapping[str, SearchBackend]
    breakers: Mapping[str, MethodBreaker]


def make_methods(
    backends: Mapping[str, SearchBackend], settings: Settings, metrics: Metrics, tracer: Tracer
) -> Methods:
    """Wrap the backends.

    Args:
        backends: by method, as the indexes' registry opened them.
        settings: of this system; they name the methods.
        metrics: of this process.
        tracer: of this process.
    """
    orders = settings.data_dir / ORDERS_DIRECTORY
    guarded = {name: GuardedBackend(backends[name], name) for name in settings.indexes}
    breakers = {name: MethodBreaker(name, settings.timeout_ms / 1000, orders, metrics) for name in settings.indexes}
    breaking = {name: BreakingBackend(inner, breakers[name]) for name, inner in guarded.items()}
    measured = {name: MeasuredBackend(inner, name, metrics) for name, inner in breaking.items()}
    return Methods(
        searched=_traced(measured, tracer) if tracer.exports else measured,
        probed=guarded,
        breakers=breakers,
    )


def _traced(backends: Mapping[str, SearchBackend], tracer: Tracer) -> dict[str, SearchBackend]:
    return {name: TracedBackend(inner, name, tracer) for name, inner in backends.items()}
