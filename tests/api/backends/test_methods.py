"""What requests call when they ask a backend."""

from pathlib import Path

import pytest

from api.backends.methods import make_methods
from api.backends.traced import TracedBackend
from streams.metrics import Metrics
from streams.settings import Settings
from streams.tracing import Tracer
from tests.api.fakes import FakeBackend


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9"])
def test_calls_are_spans_only_where_somebody_sees_them(endpoint: str | None, tmp_path: Path) -> None:
    """A search makes eight of them, and each takes as long as a query of a small index."""
    tracer = Tracer("test", endpoint)
    settings = Settings(data_dir=tmp_path, indexes=("bm25",))
    methods = make_methods({"bm25": FakeBackend()}, settings, Metrics(), tracer)
    assert isinstance(methods.searched["bm25"], TracedBackend) == (endpoint is not None)
    tracer.close()
