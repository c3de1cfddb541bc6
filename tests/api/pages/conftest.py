"""A real browser: Debian's Chromium, driven by Playwright, with the API over fake indexes in front of it."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.api.process.test_server import Server, serving

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The real server over fake indexes."""
    with serving(1) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Headless; it fails where there is none, since what is left out tells nothing."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert program is not None, "install Chromium (Debian: apt-get install chromium)"
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        await opened.close()


def _is_complaint(message: ConsoleMessage) -> bool:
    """An error of a script, or what a policy refused; that the API refuses a request is not one."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


@pytest.fixture
async def page(browser: Browser, server: Server) -> AsyncIterator[Page]:
    """An empty tab; whatever a page complains of fails the test."""
    context = await browser.new_context(base_url=f"http://127.0.0.1:{server.port}")
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    yield opened
    await context.close()
    assert complaints == []
