"""The pages as they are served: what they are made of, and what a browser may do with them."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from api.access.authorised import Gate
from api.access.keys import KeyList, KeyRing, make_key, utc_now, write_keys
from api.access.scopes import Scope
from api.messages.problems import PROBLEM_MEDIA_TYPE
from api.pages.files import load_pages
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend

PAGES = ("/", "/admin")
FILES = sorted(name for name in load_pages() if not name.endswith(".html"))
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.found if name == tag]


async def _get(path: str, headers: Mapping[str, str] | None = None, gate: Gate | None = None) -> httpx.Response:
    async with running(make_services({"bm25": FakeBackend()}), gate) as client:
        return await client.get(path, headers=headers)


def _gate(path: Path | None = None, *anonymous: Scope) -> Gate:
    return Gate(KeyRing(path, clock=lambda: 0.0), frozenset(anonymous))


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_nothing_but_its_own_files(path: str) -> None:
    """No script or style stands in it, none comes from elsewhere, and its policy allows no other."""
    answer = await _get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(directive.split(" ", 1) for directive in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    elements = Elements(answer.text)
    assert all("src" in attributes for attributes in elements.of("script"))
    assert not elements.of("style")
    named = [each for _, attributes in elements.found for each in (attributes.get("src"), attributes.get("href"))]
    files = {name.removeprefix("pages/") for name in filter(None, named) if name.startswith("pages/")}
    assert files <= set(FILES)
    assert {"page.css", "icon.svg"} <= files
    for _, attributes in elements.found:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_can_be_used_by_everybody(path: str) -> None:
    """It has a language, a title and landmarks; each field has a label, and what changes is announced."""
    elements = Elements((await _get(path)).text)
    (html,) = elements.of("html")
    assert html["lang"] == "en"
    assert len(elements.of("main")) == len(elements.of("h1")) == len(elements.of("title")) == 1
    assert any(attributes.get("name") == "viewport" for attributes in elements.of("meta"))
    assert any("aria-live" in attributes for _, attributes in elements.found)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for _, attributes in elements.found:
        for name in ("for", "aria-controls", "aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
    assert not any(
        "tabindex" in attributes and int(attributes["tabindex"] or 0) > 0 for _, attributes in elements.found
    )


@pytest.mark.parametrize("name", FILES)
async def test_files_have_types_and_change_their_tag_with_their_bytes(name: str) -> None:
    """A browser that has the very bytes is told so, and no other."""
    answer = await _get(f"/pages/{name}")
    kinds = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kinds[name.rpartition(".")[2]]
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-cache", "nosniff")
    tag = answer.headers["etag"]
    again = await _get(f"/pages/{name}", {"if-none-match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await _get(f"/pages/{name}", {"if-none-match": '"other"'})).status_code == 200


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_scripts_make_no_html_of_text(name: str) -> None:
    """And import nothing but each other, which all exist."""
    script = load_pages()[name].body.decode()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage", script
    )
    assert {each.removeprefix("./") for each in re.findall(r'from "([^"]+)"', script)} <= set(FILES)
    assert not re.search(r"https?://(?!html\.spec)", script)


@pytest.mark.parametrize("name", ["nothing.js", "search.html", "admin.html", "__init__.py", "%2e%2e"])
async def test_there_is_nothing_else(name: str) -> None:
    """What is no file of the pages is not found; the pages have addresses of their own."""
    assert (await _get(f"/pages/{name}")).status_code == 404


async def test_whoever_may_not_use_a_page_gets_a_place_for_the_key(tmp_path: Path) -> None:
    """In a browser, with the status that says so; anybody else gets a problem."""
    kept, shown = make_key("test", frozenset({Scope.READ}), None, utc_now())
    write_keys(tmp_path / "keys", KeyList((kept,)))
    for path, headers, status in (
        ("/", {}, 401),
        ("/admin", {}, 401),
        ("/admin", {"authorization": f"Bearer {shown}"}, 403),
        ("/", {"authorization": f"Bearer {shown}"}, 200),
    ):
        page = await _get(path, BROWSER | headers, _gate(tmp_path / "keys"))
        assert page.status_code == status
        assert 'id="key"' in page.text
        if status == 200:
            continue
        assert page.headers["www-authenticate"].startswith("Bearer ")
        assert (page.headers["cache-control"], "etag" in page.headers) == ("no-store", True)
        told = await _get(path, headers, _gate(tmp_path / "keys"))
        assert (told.status_code, told.headers["content-type"]) == (status, PROBLEM_MEDIA_TYPE)
    for path in ("/search", "/health", "/admin/breakers", "/nowhere"):
        assert (await _get(path, BROWSER, _gate())).status_code == 401
        assert (await _get(path, BROWSER, _gate())).headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert (await _get("/pages/search.js", gate=_gate())).status_code == 200


async def test_on_a_loopback_address_a_page_needs_no_key() -> None:
    """As whatever needs none there."""
    assert (await _get("/admin", BROWSER)).status_code == 200
    assert (await _get("/", gate=_gate(None, Scope.READ))).status_code == 200
    assert (await _get("/admin", gate=_gate(None, Scope.READ))).status_code == 401
