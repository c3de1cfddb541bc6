"""The command line: which commands there are, and how every one of them fails.

Exit status: 0 done, 1 failed, 2 used wrongly.
"""

import importlib
import sys
from typing import Final

import click

from infra.cli.failure import CommandFailed
from infra.supervisor.service import StartError
from streams.errors import EmbedSearchError, SettingsError

_COMMANDS: Final = {
    "up": ("infra.cli.up", "Run the whole system on this machine."),
    "publish": ("infra.cli.publish", "Publish documents to Kafka."),
    "search": ("infra.cli.search", "Search, and show the hits."),
    "status": ("infra.cli.status", "Show the state of each index."),
    "wait": ("infra.cli.wait", "Wait until the indexes have read what was published."),
    "index": ("infra.cli.index", "Run indexers only."),
    "api": ("infra.cli.api", "Run the API only."),
    "dlq": ("infra.cli.dlq", "List, show, replay and purge the dead letters."),
    "rebuild": ("infra.cli.rebuild", "Build indexes anew beside the live ones, prove them, and swap."),
    "promote": ("infra.cli.generations", "Put a generation that is ready live."),
    "rollback": ("infra.cli.generations", "Go back to the previous generation, at once."),
    "verify": ("infra.cli.verify", "Compare the indexes with the topic, or check their files."),
    "backup": ("infra.cli.backup", "Keep a snapshot of all indexes and how far they have read."),
    "restore": ("infra.cli.backup", "Put a snapshot in place, or check a backup."),
    "eval": ("infra.cli.evaluate", "Measure relevance on a judged collection."),
    "roles": ("infra.cli.roles", "Make the database roles of indexer and API."),
    "keys": ("infra.cli.keys", "Make, list and revoke API keys."),
    "bench": ("infra.cli.bench", "Measure our engines beside others, and the whole system under load."),
    "setup": ("infra.cli.setup", "Get what `up` needs beside Python packages."),
    "doctor": ("infra.cli.doctor", "Check every dependency and setting."),
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used: `search` must not wait for an import of Kafka."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of the help page."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="embed-search")
def cli() -> None:
    """Event-streaming search over Kafka: full text, BM25, regex and meaning in one ranking."""


def main() -> None:
    """Run the command line and end the process with its status."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.UsageError as exc:
        exc.show()
        sys.exit(2)
    except SettingsError as exc:
        _fail(str(exc), status=2)
    except (EmbedSearchError, StartError, CommandFailed, OSError) as exc:
        _fail(str(exc), status=1)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def _fail(message: str, *, status: int) -> None:
    click.echo(f"embed-search: {message}", err=True)
    sys.exit(status)
