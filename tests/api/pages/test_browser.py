"""The pages in a real browser: what somebody sees, presses and gets."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, expect


async def test_a_search_is_streamed_shown_and_linked(page: Page) -> None:
    """Each method tells how it did, hits are shown, and the address finds them again."""
    await page.goto("/")
    await expect(page.locator(".result")).to_have_count(10)  # the newest
    await page.locator("h1").click()
    await page.keyboard.press("/")
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.type("circuit breaker")
    await page.keyboard.press("Enter")
    await expect(page.locator("#summary")).to_have_text(re.compile(r"^200 documents found in \d+\.\d ms\.$"))
    methods = page.locator("#methods li")
    await expect(methods).to_have_count(4)
    assert all(re.search(r"answered, 200 found, \d+\.\d ms", text) for text in await methods.all_inner_texts())
    await expect(page.locator(".result").first).to_contain_text("title of document-000")
    assert parse_qs(urlsplit(page.url).query) == {"q": ["circuit breaker"]}
    await page.reload()
    await expect(page.locator("#q")).to_have_value("circuit breaker")
    await expect(page.locator(".result")).to_have_count(10)


async def test_pages_and_the_way_back(page: Page) -> None:
    """The next page begins behind this one, and the browser's own button leads back."""
    await page.goto("/?q=x")
    await page.get_by_role("button", name="Next").click()
    await expect(page.locator("#place")).to_have_text("11 to 20")
    await expect(page.locator(".result").first).to_contain_text("document-010")
    await page.go_back()
    await expect(page.locator("#place")).to_have_text("1 to 10")


async def test_the_keyboard_alone_is_enough(page: Page) -> None:
    """Arrows go through the results and back to the query."""
    await page.goto("/?q=x")
    await expect(page.locator(".result")).to_have_count(10)
    await page.locator("#q").focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".result").nth(0)).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".result").nth(1)).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowUp")
    await expect(page.locator("#q")).to_be_focused()


async def test_methods_and_explanations_are_asked_for(page: Page) -> None:
    """What is unticked is not asked, and why a hit is there can be unfolded."""
    await page.goto("/?q=x")
    await page.get_by_label("semantic").uncheck()
    await expect(page.locator("#methods li")).to_have_count(3)
    await page.get_by_label("Explain scores").check()
    await page.locator(".result summary").first.click()
    await expect(page.locator(".result .tree").first).to_contain_text("fused score: sum of what the methods contribute")
    await expect(page.locator(".result .tree").first).to_contain_text("bm25: as it is")
    assert parse_qs(urlsplit(page.url).query) == {"q": ["x"], "methods": ["bm25,tantivy,native"], "explain": ["true"]}


async def test_a_bad_query_is_told_and_not_only_shown(page: Page) -> None:
    """As an alert, in the words of the API."""
    await page.goto("/?q=x&methods=grep")
    await expect(page.get_by_role("alert")).to_contain_text("'grep' is not run here")
    await expect(page.locator(".result")).to_have_count(0)


async def test_nothing_of_a_query_is_run(page: Page) -> None:
    """It is text wherever it is shown."""
    await page.goto("/?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&source=%3Cscript%3Ealert(2)%3C%2Fscript%3E")
    await expect(page.locator("#chips")).to_contain_text("source: <script>alert(2)</script>")
    await expect(page.locator("#q")).to_have_value("<img src=x onerror=alert(1)>")
    assert await page.locator("main img, main script").count() == 0


async def test_the_administration_page_shows_what_there_is(page: Page) -> None:
    """And says what is not; a breaker is opened and reset after a question."""
    await page.goto("/admin")
    await expect(page.locator("#breakers tbody tr")).to_have_count(4)
    await expect(page.locator("#health")).to_contain_text("The system is")
    await expect(page.locator("#indexes tbody tr")).to_have_count(4)
    page.on("dialog", lambda dialog: dialog.accept())
    row = page.locator("#breakers tr", has_text="native")
    await row.get_by_role("button", name="Open").click()
    await expect(page.locator("#said")).to_have_text("native: opened.")
    await expect(row).to_contain_text("open")
    await row.get_by_role("button", name="Reset").click()
    await expect(page.locator("#said")).to_have_text("native: reset.")


@pytest.mark.parametrize("path", ["/?q=x", "/admin"])
async def test_a_phone_shows_all_of_it(page: Page, path: str) -> None:
    """Nothing is wider than the screen."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.goto(path)
    await expect(page.locator(".result, tbody tr").first).to_be_attached()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
