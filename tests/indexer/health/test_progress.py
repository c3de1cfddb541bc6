"""What an indexer says of itself."""

from indexer.health.progress import Progress
from streams.watermark import Watermark

READ = Watermark("documents", "cluster", {0: 5})


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_it_is_not_well_before_it_has_indexed() -> None:
    """A start that hangs never looks ready."""
    component = Progress(60).component()
    assert (component.status, component.message) == ("unhealthy", "is starting")


def test_a_failure_lasts_until_work_ends() -> None:
    """A writer that opens is no proof: the next commit may fail as the last one did."""
    progress = Progress(60)
    progress.work_ended(READ)
    assert progress.component().status == "healthy"
    assert progress.component().details.watermark == {"documents": {"0": 5}}
    progress.failed("the disk is full")
    progress.paused(paused=False)
    component = progress.component()
    assert (component.status, component.message) == ("unhealthy", "begins again: the disk is full")
    assert component.details.watermark == {"documents": {"0": 5}}
    progress.work_ended(READ)
    assert progress.component().status == "healthy"


def test_a_pause_is_told() -> None:
    """Nothing is lost, but nothing comes in either."""
    progress = Progress(60)
    progress.work_ended(READ)
    progress.paused(paused=True)
    assert progress.component().status == "degraded"
    progress.paused(paused=False)
    assert progress.component().status == "healthy"


def test_work_that_does_not_end_is_told() -> None:
    """A writer that hangs raises nothing."""
    clock = Clock()
    progress = Progress(60, clock=clock)
    progress.work_ended(READ)
    clock.now += 59
    assert progress.component().status == "healthy"
    clock.now += 2
    component = progress.component()
    assert (component.status, component.message) == ("degraded", "has been busy with one batch for 61 s")
    progress.work_ended(READ)
    assert progress.component().status == "healthy"
