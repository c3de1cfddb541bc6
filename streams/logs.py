"""Logs: one line an event, fields behind it; JSON unless a person watches."""

import logging
import re
import sys
from typing import Any, Final, TextIO

import structlog

AUDIT_LOGGER: Final = "api.audit"
"""Written whatever the level is."""

_TELLS_PASSWORDS: Final = "aiokafka.conn"
"""On `debug` it logs every request as it is sent, the one with the password included."""

_TRACEBACK: Final = "exception"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def configure_logs(level: str) -> None:
    """Send this process's logs to standard error, those of libraries included.

    Args:
        level: `debug`, `info`, `warning` or `error`; libraries log from `warning` on, unless it is `debug`.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderers: list[structlog.typing.Processor] = (
        [_harmless, structlog.dev.ConsoleRenderer()] if sys.stderr.isatty() else [structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, *renderers],
        logger_factory=lambda name: LineLogger(name, handler),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(least if level == "debug" else max(least, logging.WARNING))
    for package in ("streams", "indexer", "api", "infra"):
        logging.getLogger(package).setLevel(least)
    logging.getLogger(AUDIT_LOGGER).setLevel(logging.INFO)
    logging.getLogger(_TELLS_PASSWORDS).setLevel(max(root.level, logging.INFO))


class LineLogger:
    """Writes finished lines where a handler writes its own.

    A line of ours is finished before it gets here. As a `LogRecord` it would be looked up on the stack, copied and
    formatted a second time, which took four times as long.

    Args:
        name: of the logger, whose level counts.
        handler: whose stream and lock it shares.
    """

    def __init__(self, name: str, handler: logging.StreamHandler[TextIO]) -> None:
        self.name = name
        self._levels = logging.getLogger(name)
        self._handler = handler

    @property
    def disabled(self) -> bool:
        """Whether nothing is written."""
        return self._levels.disabled

    def getEffectiveLevel(self) -> int:  # noqa: N802 - as the standard library calls it
        """Lines of lower levels are not written."""
        return self._levels.getEffectiveLevel()

    def write(self, line: str) -> None:
        """Write one line."""
        handler = self._handler
        handler.acquire()
        try:
            handler.stream.write(f"{line}\n")
            handler.flush()
        except (OSError, ValueError):  # closed, or nobody reads it any more: as `logging` does it, work goes on
            handler.handleError(logging.makeLogRecord({"name": self.name, "msg": line}))
        finally:
            handler.release()

    debug = info = warning = error = exception = critical = write


def _harmless(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:  # noqa: ANN401 - structlog's
    """Show control characters instead of sending them to a terminal, which would obey; tracebacks keep their lines."""
    return {
        name: value if isinstance(value, int | float | None) else _visible(str(value), lines=name == _TRACEBACK)
        for name, value in event.items()
    }


def _visible(text: str, *, lines: bool) -> str:
    return "\n".join(_CONTROL.sub(_escaped, line) for line in (text.split("\n") if lines else [text]))


def _escaped(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"
