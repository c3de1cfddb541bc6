"""Generated reference pages."""

from pathlib import Path

from infra.reference.metrics import metrics_page
from infra.reference.settings import settings_page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_settings_page_is_what_the_code_says() -> None:
    """The page is generated; after a change of the settings it must be generated anew."""
    assert (DOCS / "settings.md").read_text() == settings_page()


def test_the_metrics_page_is_what_the_code_says() -> None:
    """The page is generated; after a change of the metrics it must be generated anew."""
    assert (DOCS / "metrics.md").read_text() == metrics_page()
