"""`embed-search api`: the API alone, as containers and the supervisor run it."""

import click

from api.process.server import run
from infra.cli.stores import require_stores
from streams.logs import configure_logs
from streams.settings import load_settings


@click.command("api")
def api_command() -> None:
    """Run the API."""
    settings = load_settings()
    configure_logs(settings.log_level)
    require_stores(settings, settings.indexes)
    run(settings)
