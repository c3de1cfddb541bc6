"""Writes `docs/cli.md`: `python -m infra.reference.cli > docs/cli.md`."""

from collections.abc import Iterator
from inspect import cleandoc
from typing import Final

import click

from infra.cli.main import cli
from infra.reference.markdown import table

_PROGRAM: Final = "embed-search"

_INTRODUCTION: Final = """# Command line

`embed-search COMMAND --help` says the same. Exit status: 0 done, 1 failed, 2 used wrongly. Commands that print data
take `--json`. Settings that a command has no option for come [from the environment](settings.md).

"""


def cli_page() -> str:
    """The page, in Markdown."""
    commands = list(leaves(cli))
    contents = table(
        ["command", "what it does"], ([f"[`{path}`](#{_anchor(path)})", _short(c)] for path, c in commands)
    )
    return _INTRODUCTION + contents + "".join(f"\n{_section(path, command)}" for path, command in commands)


def leaves(group: click.Group, path: str = _PROGRAM) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, in the order of the help pages, and its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path} {name}")
        elif command is not None:
            yield f"{path} {name}", command


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    records = (param.get_help_record(context) for param in command.params)
    options = [(f"`{names}`", meaning) for names, meaning in filter(None, records)]
    described = f"\n{table(['option', 'meaning'], options)}" if options else ""
    return f"## `{path}`\n\n```text\n{usage}\n```\n\n{cleandoc(command.help or '')}\n{described}"


def _short(command: click.Command) -> str:
    return cleandoc(command.help or "").partition("\n\n")[0]


def _anchor(path: str) -> str:
    return path.replace(" ", "-")


if __name__ == "__main__":
    print(cli_page(), end="")  # noqa: T201 - standard output is where the page goes
