"""What the code knows: settings, commands, probes and how long parts take to stop."""

from collections.abc import Iterable, Mapping, Sequence

import click
from litestar import Litestar

from api.access.scopes import OPEN_PATHS
from api.app import build_routes
from infra.cli.main import cli
from infra.probes.app import make_app
from infra.probes.health import IndexerHealth
from streams.metrics import Metrics
from streams.settings import Settings, variable
from tests.api.fakes import FakeOffsets

SETTINGS = frozenset(variable(field) for field in Settings.model_fields)


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment, which must all be some, and make sense together."""
    assert environment.keys() <= SETTINGS, environment.keys() - SETTINGS
    fields = {variable(field): field for field in Settings.model_fields}
    given = {fields[name]: value for name, value in environment.items() if value}
    return Settings.model_validate(given, by_name=True)


def understands(argv: Sequence[str]) -> bool:
    """Whether the command line takes these words, short of doing what they say."""
    context = click.Context(cli)
    command = cli.get_command(context, argv[0])
    return command is not None and bool(command.make_context(argv[0], list(argv[1:])))


def api_paths() -> set[str]:
    """What the API answers."""
    return _paths(build_routes(lambda: NotImplemented))


def probe_paths() -> set[str]:
    """What the port of an indexer answers."""
    health = IndexerHealth({}, FakeOffsets(), "documents", {}, stall_seconds=1.0)
    return _paths(make_app(health, Metrics()))


def asked_without_key(paths: Iterable[str]) -> bool:
    """Whether nobody needs a key for any of them."""
    return set(paths) <= OPEN_PATHS


def _paths(app: Litestar) -> set[str]:
    return {route.path for route in app.routes}
