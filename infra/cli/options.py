"""Options that several commands share."""

from typing import Final

import click

DEFAULT_URL: Final = "http://127.0.0.1:8080"

url_option = click.option(
    "--url",
    envvar="EMBED_SEARCH_URL",
    default=DEFAULT_URL,
    show_default=True,
    help="The running system's API (also EMBED_SEARCH_URL).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
