"""Whether a command could be run: programs, options, targets and files that it names are there. Nothing is run."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise

import click

from infra.cli.main import cli
from tests.delivery.dockerfile import read_dockerfile
from tests.delivery.manifests import COMPOSE, DOCKERFILE, documents, named
from tests.delivery.names import SETTINGS
from tests.documents.commands import ROOT

_OURS = SETTINGS | {"EMBED_SEARCH_URL", "EMBED_SEARCH_API_KEY", "EMBED_SEARCH_CACHE_DIR"}
_PREFIXES = ("EMBED_SEARCH_", "KAFKA_", "DATABASE_", "MODEL_", "OTEL_")
_ASSIGNMENT = re.compile(r"(\w+)=")
_PLACEHOLDER = re.compile(r"[A-Z]+|.*\$.*")
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
_KINDS = {"statefulset": "StatefulSet", "deployment": "Deployment"}

_ELSEWHERE = frozenset(
    {"apt-get", "awk", "cd", "curl", "echo", "export", "gh", "git", "gzip", "kcat", "mkdir", "pip", "pipx", "promtool"}
    | {"rm", "sed", "sha256sum", "test"}
)
"""Programs that are not ours, of whose arguments only a run can tell."""


def faults(command: str) -> list[str]:
    """What is wrong with a command; empty if nothing is."""
    return [fault for words in invocations(command) for fault in _faults(words)]


def invocations(command: str) -> Iterator[list[str]]:
    """The programs that a shell would start, each with its words; assignments before them are words too."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for token in lexer:
        if set(token) <= set("();&|"):
            if words:
                yield words
            words = []
        elif set(token) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        else:
            words.append(token)
    if words:
        yield words


def _faults(words: Sequence[str]) -> Iterator[str]:
    rest = list(words)
    while rest and (found := _ASSIGNMENT.match(rest[0])):
        yield from _unknown_setting(found[1])
        rest.pop(0)
    if not rest:
        return
    program, arguments = rest[0], rest[1:]
    if program == "export":
        yield from (fault for word in arguments for fault in _unknown_setting(word.partition("=")[0]))
    elif program in _CHECKS:
        yield from _CHECKS[program](arguments)
    elif program not in _ELSEWHERE:
        yield f"{program} is no program that is known here"


def _unknown_setting(name: str) -> Iterator[str]:
    if name.startswith(_PREFIXES) and name not in _OURS:
        yield f"{name} is no setting"


def cli_faults(arguments: Sequence[str], *, whole: bool = True) -> Iterator[str]:
    """What the command line would refuse, as far as words can tell.

    Args:
        arguments: behind `embed-search`; a word in capitals stands for any value.
        whole: whether arguments that a command needs must be there.
    """
    command: click.Command = cli
    context = click.Context(cli, info_name="embed-search")
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            yield f"there is no command {rest[0]}"
            return
        context = click.Context(found, parent=context, info_name=rest.pop(0))
        command = found
    if isinstance(command, click.Group):
        if whole:
            yield f"{context.command_path} needs a command"
        return
    yield from _refusals(command, context, rest, whole=whole)


def _refusals(command: click.Command, context: click.Context, words: list[str], *, whole: bool) -> Iterator[str]:
    try:
        values, left, _ = command.make_parser(context).parse_args(words)
    except click.UsageError as exc:
        if whole or not isinstance(exc, click.MissingParameter):
            yield f"{context.command_path}: {exc.format_message()}"
        return
    if left:
        yield f"{context.command_path} takes no {' '.join(left)}"
    for parameter in command.params:
        yield from _refused_value(parameter, context, values, whole=whole)


def _refused_value(
    parameter: click.Parameter, context: click.Context, values: Mapping[str, object], *, whole: bool
) -> Iterator[str]:
    value = values.get(parameter.name or "")
    given = value if isinstance(value, tuple | list) else [value] if isinstance(value, str) else []
    if not given and parameter.required and whole:
        yield f"{context.command_path} needs {parameter.human_readable_name}"
    for each in given:
        if isinstance(parameter.type, click.Path) or _PLACEHOLDER.fullmatch(str(each)):
            continue
        try:
            parameter.type.convert(each, parameter, context)
        except click.UsageError as exc:
            yield f"{context.command_path}: {exc.format_message()}"


def _make_faults(arguments: Sequence[str]) -> Iterator[str]:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    yield from (f"make has no target {target}" for target in arguments if target not in targets)


def _python_faults(arguments: Sequence[str]) -> Iterator[str]:
    if arguments[:1] != ["-m"] or find_spec(arguments[1]) is None:
        yield f"there is no module {' '.join(arguments)}"


def _kubectl_faults(arguments: Sequence[str]) -> Iterator[str]:
    for word in arguments:
        kind, _, name = word.partition("/")
        if kind in _KINDS:
            try:
                named(_KINDS[kind], name)
            except ValueError:
                yield f"there is no {word}"
        elif name and not (ROOT / word).exists():
            yield f"there is no {word}"


def _bash_faults(arguments: Sequence[str]) -> Iterator[str]:
    yield from (f"there is no {path}" for path in arguments[:1] if not (ROOT / path).exists())


def _docker_faults(arguments: Sequence[str]) -> Iterator[str]:
    services = documents(COMPOSE)[0]["services"].values()
    known = {
        "--file": {str(DOCKERFILE.relative_to(ROOT))},
        "--profile": {profile for service in services for profile in service.get("profiles", ())},
        "--target": {stage.name for stage in read_dockerfile(DOCKERFILE)},
    }
    for option, value in pairwise(arguments):
        if value not in known.get(option, {value}):
            yield f"there is no {option} {value}"


_CHECKS: Mapping[str, Callable[[Sequence[str]], Iterator[str]]] = {
    "embed-search": cli_faults,
    "make": _make_faults,
    "python": _python_faults,
    "kubectl": _kubectl_faults,
    "docker": _docker_faults,
    "bash": _bash_faults,
}
