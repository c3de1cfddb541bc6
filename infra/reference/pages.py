"""Which pages are generated: `python -m infra.reference.pages` writes them all, `make reference` does it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from infra.reference.cli import cli_page
from infra.reference.http_api import http_api_page
from infra.reference.metrics import metrics_page
from infra.reference.settings import settings_page
from infra.reference.topics import topics_page

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": cli_page,
    "http-api.md": http_api_page,
    "metrics.md": metrics_page,
    "settings.md": settings_page,
    "topics.md": topics_page,
}
"""By their names under `docs`."""


def write_pages(directory: Path) -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (directory / name).write_text(page())


if __name__ == "__main__":
    write_pages(Path("docs"))
