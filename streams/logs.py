"""Logs: one line an event, fields behind it; JSON unless a person watches."""

import logging
import re
import sys
from typing import Any, Final

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
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
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
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(least if level == "debug" else max(least, logging.WARNING))
    for package in ("streams", "indexer", "api", "infra"):
        logging.getLogger(package).setLevel(least)
    logging.getLogger(AUDIT_LOGGER).setLevel(logging.INFO)
    logging.getLogger(_TELLS_PASSWORDS).setLevel(max(root.level, logging.INFO))


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
