"""What a supervisor has to tell: one frozen value per kind of event, for the caller to render or to log."""

import msgspec


class Event(msgspec.Struct, frozen=True, tag=True):
    """Something happened to a service.

    Args:
        service: its name.
    """

    service: str


class Started(Event, frozen=True):
    """Its process runs; whether it can serve is not known yet."""

    pid: int


class Ready(Event, frozen=True):
    """It serves, so many seconds after its process started."""

    seconds: float


class Failed(Event, frozen=True):
    """It ended, could not start, or was not ready in time, and will be started again.

    Args:
        service: its name.
        reason: one line.
        tail: the last lines of its output.
        retry_in: seconds until the next start.
        failures: how many times in a row; it starts again from 1 after a stable time.
        looping: whether that is a crash loop.
    """

    reason: str
    tail: tuple[str, ...]
    retry_in: float
    failures: int
    looping: bool


class Stopping(Event, frozen=True):
    """It was asked to stop."""


class Stopped(Event, frozen=True):
    """It is gone; `killed` when it did not leave in time."""

    killed: bool


class LogLost(Event, frozen=True):
    """Its output can no longer be written to its log file; the service goes on."""

    reason: str
