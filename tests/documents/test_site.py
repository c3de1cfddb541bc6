"""The site: it builds, every link leads somewhere, and a browser fetches nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.documents.html import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = ROOT / "zensical.toml"
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:api|docs|indexer|infra|streams|tests|\.ci|\.github)/[\w./-]+)`")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page | None]:
    """The files of the site by their paths, and what the pages among them say."""
    place = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, place / "docs")
    shutil.copy(CONFIGURATION, place)
    zensical = Path(sys.executable).with_name("zensical")
    built = subprocess.run(
        [zensical, "build", "--strict"], cwd=place, capture_output=True, text=True, check=False, timeout=120
    )
    assert built.returncode == 0, built.stdout + built.stderr
    root = place / "dist" / "site"
    pages = {str(path.relative_to(root)): Page(path) for path in root.rglob("*.html") if path.name != "404.html"}
    others = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - pages.keys()
    return {**pages, **dict.fromkeys(others)}


def _pages(navigation: list[dict[str, Any]]) -> Iterator[str]:
    for entry in navigation:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else _pages(value)


def test_every_page_is_in_the_navigation() -> None:
    """Once, under a name; and nothing that is not there."""
    listed = sorted(_pages(tomllib.loads(CONFIGURATION.read_text())["project"]["nav"]))
    assert listed == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_every_link_leads_somewhere(site: dict[str, Page | None]) -> None:
    """Files and pictures too, which the builder does not look for, and places in pages."""
    lost = []
    for name, page in site.items():
        for address in [*page.links, *page.loads] if page else []:
            parts = urlsplit(address)
            if parts.scheme or address == "#":
                continue
            path = _resolved(name, unquote(parts.path))
            target = site.get(path)
            if path not in site or (
                parts.fragment and (target is None or unquote(parts.fragment) not in target.anchors)
            ):
                lost.append((name, address))
    assert lost == []


def _resolved(page: str, path: str) -> str:
    """The path that an address in a page means."""
    base = Path("/", page)
    found = Path("/", base.parent, path).resolve() if path else base
    return str(found.relative_to("/")) if found.suffix else str((found / "index.html").relative_to("/"))


def test_nothing_is_fetched_from_elsewhere(site: dict[str, Page | None]) -> None:
    """No fonts, no scripts, no pictures: it is read where there is no network."""
    assert any(page.loads for page in site.values() if page)
    assert [address for page in site.values() if page for address in page.loads if urlsplit(address).netloc] == []


def test_links_of_the_readme_lead_somewhere() -> None:
    """They are followed in the repository, not on the site."""
    links = [link for link in _LINK.findall((ROOT / "README.md").read_text()) if not urlsplit(link).scheme]
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name)
def test_files_that_are_named_exist(page: Path) -> None:
    """Of the source, of tests, of what deploys."""
    assert [path for path in _PATH.findall(page.read_text()) if not (ROOT / path).exists()] == []
