"""Tells a person what the supervisor does, one line an event."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infra.supervisor.events import Event, Failed, LogLost, Ready, Started, Stopped, Stopping


class Narrator:
    """Prints events.

    Args:
        console: where to.
        logs: the folder that messages point to.
    """

    def __init__(self, console: Console, logs: Path) -> None:
        self._console = console
        self._logs = logs

    def say(self, message: str) -> None:
        """Print a line of our own."""
        self._console.print(message, highlight=False)

    def tell(self, event: Event) -> None:
        """Print an event of the supervisor."""
        line = self._line(event)
        if line:
            self._console.print(f"[bold]{event.service:>14}[/]  {line}", highlight=False)

    def _line(self, event: Event) -> str:
        match event:
            case Started() | Stopping():
                return f"[dim]{type(event).__name__.lower()}[/]"
            case Ready(seconds=seconds):
                return f"[green]ready[/] [dim]after {seconds:.1f} s[/]"
            case Failed():
                return self._failure(event)
            case Stopped(killed=killed):
                return "[yellow]killed, it did not stop in time[/]" if killed else "[dim]stopped[/]"
            case LogLost(reason=reason):
                return f"[yellow]its log cannot be written: {escape(reason)}[/]"
        return ""

    def _failure(self, event: Failed) -> str:
        loop = (
            f"; it failed {event.failures} times in a row, see {self._logs / event.service}.log"
            if event.looping
            else ""
        )
        tail = "".join(f"\n{'':>16}[dim]{escape(line)}[/]" for line in event.tail)
        return f"[red]{escape(event.reason)}[/], starting again in {event.retry_in:.1f} s{escape(loop)}{tail}"
