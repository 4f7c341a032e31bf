"""A real Chromium on the page of the real service, with a small collection that was mined and scored."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from services.stack.endpoints import endpoints
from tests.conftest import ROOT, Stack
from tests.integration.conftest import MODEL, Sample
from tests.unit.tiny_ce import tiny_ce

SCREENSHOTS = ROOT / ".cache" / "screenshots"
WIDE, PHONE = {"width": 1360, "height": 900}, {"width": 390, "height": 844}
_PATIENCE = 30_000  # milliseconds: a busy machine is no defect of the page
# Without these the browser calls home all the time.
_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@dataclass(frozen=True)
class Site:
    """The service with something to look at.

    Attributes:
        url: Of the page.
        collection: Mined by two systems and scored.
        ce: The cross-encoder.
        key: With the scope admin.
    """

    url: str
    collection: str
    ce: str
    key: str


@pytest.fixture(scope="module")
def site(stack: Stack, sample: Sample) -> Iterator[Site]:
    """A second index version, candidates of two systems, scores of a tiny cross-encoder, a key."""
    ce = f"ce-page-{os.getpid()}"
    name = sample.name
    tiny_ce(sample.folder / "page-reranker", "bert", max_length=96)
    sample.msmctl("ce", "add", ce, "--model", "page-reranker")
    sample.msmctl("mine", "--collection", name, "--system", f"bm25,{MODEL}", "--depth", "10")
    sample.msmctl("score", "--collection", name, "--ce", ce)
    sample.msmctl("index", "build", "--collection", name, "--system", MODEL, "--force")
    made = json.loads(sample.msmctl("api", "keys", "create", "--scope", "admin", "--json"))
    yield Site(endpoints(stack.settings).api_url, name, ce, made["key"])
    sample.msmctl("api", "keys", "revoke", made["id"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, installed where it is missing (scripts/chromium.sh).

    Playwright's event loop runs in this thread as long as it is open, and none of ours can run beside it.
    """
    found = subprocess.run([ROOT / "scripts" / "chromium.sh"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found.stdout.strip(), args=_QUIET.split())
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """The page, not logged in. The test fails if the browser's console shows an error."""
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(_PATIENCE)
    expect.set_options(timeout=_PATIENCE)
    shown = context.new_page()
    errors: list[str] = []
    shown.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    shown.on("pageerror", lambda error: errors.append(str(error)))
    yield shown
    context.close()
    assert [text for text in errors if not _EXPECTED.search(text)] == []


# Chromium itself reports answers that the page asked for and shows.
_EXPECTED = re.compile(r"the server responded with a status of (400|401|404)")


@pytest.fixture
def inside(page: Page, site: Site) -> Page:
    """The page with a key, on the collection."""
    page.goto(f"{site.url}/#/search?c={site.collection}")
    page.get_by_role("textbox", name="Key").fill(site.key)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Search").wait_for()
    return page


def picture(page: Page, name: str) -> Path:
    """A screenshot, kept to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    return SCREENSHOTS / f"{name}.png"
