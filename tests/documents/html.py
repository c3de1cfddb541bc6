"""Reads a page of the site: what it links to, what it loads, and where it can be jumped to."""

from html.parser import HTMLParser
from pathlib import Path

_LOADS = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src"}


class Page(HTMLParser):
    """A page, once read.

    Attributes:
        links: that a reader can follow.
        loads: what a browser fetches by itself.
        anchors: places in the page.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a tag."""
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if address := given.get(_LOADS.get(tag, "")):
            self.loads.append(address)
