"""The page in a real browser: what people do with it, and whether everybody can."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from services.jobs import steering
from services.jobs.context import context_for, open_ledger
from services.jobs.kinds.encode import EncodeSpec
from services.jobs.records import new_job
from tests.conftest import Stack
from tests.integration.browser.conftest import PHONE, SCREENSHOTS, Site, picture
from tests.integration.conftest import MODEL, Sample

QUESTION = "why is the sea salty"
VIEWS = ("search", "negatives", "jobs", "indices")

pytestmark = pytest.mark.slow


# -- login -----------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused_and_a_right_one_goes_on(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.get_by_role("textbox", name="Key").fill("msm_000000000000_" + "x" * 43)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("This key is not accepted.")
    page.get_by_role("textbox", name="Key").fill(site.key)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Search")).to_be_visible()


def test_the_key_stays_in_the_tab_and_out_of_the_address(inside: Page, site: Site) -> None:
    assert site.key not in inside.url
    assert inside.evaluate("Object.values(localStorage).join()").find(site.key) == -1
    assert inside.context.cookies() == []
    inside.get_by_role("button", name="Log out").click()
    expect(inside.get_by_role("textbox", name="Key")).to_be_visible()
    assert inside.evaluate("Object.values(sessionStorage).join()") == ""


# -- search ----------------------------------------------------------------------------------------


def test_four_ways_answer_side_by_side_and_every_hit_is_explained(inside: Page, site: Site) -> None:
    inside.get_by_role("searchbox", name="Query").fill(QUESTION)
    inside.get_by_label("Reranker").select_option(site.ce)
    inside.keyboard.press("Tab")
    inside.get_by_role("searchbox", name="Query").press("Enter")
    for way in ("BM25", "dense", "hybrid", "hybrid + rerank"):
        column = inside.get_by_role("region", name=way, exact=True)
        expect(column.get_by_role("listitem").filter(has=inside.locator("p")).first).to_be_visible()
        bar = column.locator(".hit .stack").first
        expect(bar).to_have_attribute("aria-label", re.compile("score .*rank .*="))
    reranked = inside.get_by_role("region", name="hybrid + rerank")
    expect(reranked.get_by_text("reranked")).to_be_visible()
    expect(reranked.locator(".hit .number").first).to_have_text(re.compile(r"ce -?\d"))
    picture(inside, "search")
    inside.screenshot(path=SCREENSHOTS / "page.png")  # the one in docs/images


def test_a_link_shows_the_same_view_again(inside: Page) -> None:
    inside.get_by_role("searchbox", name="Query").fill(QUESTION)
    inside.get_by_label("dense", exact=True).uncheck()
    inside.get_by_label("Hits").fill("3")
    inside.get_by_role("button", name="Search").click()
    for way in ("hybrid", "rerank"):
        expect(inside.locator(f"[data-way={way}] .hit")).to_have_count(3)
    before = inside.locator(".hit").evaluate_all("hits => hits.map((hit) => hit.dataset.pid)")
    address = inside.url
    inside.goto("about:blank")
    inside.goto(address)
    expect(inside.get_by_label("dense", exact=True)).not_to_be_checked()
    expect(inside.locator(".hit")).to_have_count(len(before))
    assert inside.locator(".hit").evaluate_all("hits => hits.map((hit) => hit.dataset.pid)") == before


def test_filters_hold_in_every_column_and_a_wrong_one_says_what_there_is(
    inside: Page, sample: Sample
) -> None:
    inside.get_by_role("searchbox", name="Query").fill(QUESTION)
    inside.get_by_label("Filters").fill("chapter<=1")
    inside.get_by_role("button", name="Search").click()
    expect(inside.locator(".hit")).not_to_have_count(0)
    passages = (json.loads(line) for line in (sample.folder / "passages.jsonl").read_text().splitlines())
    allowed = {one["pid"] for one in passages if one["chapter"] <= 1}
    shown = inside.locator(".hit").evaluate_all("hits => hits.map((hit) => hit.dataset.pid)")
    assert set(shown) <= allowed
    inside.get_by_label("Filters").fill("colour=red")
    inside.get_by_role("button", name="Search").click()
    expect(inside.get_by_role("alert").first).to_contain_text("there are: chapter, topic")


def test_the_request_is_shown_for_other_tools(inside: Page, site: Site) -> None:
    inside.get_by_role("searchbox", name="Query").fill(QUESTION)
    inside.get_by_role("button", name="Search").click()
    inside.get_by_text("curl, Python, Dev Tools").click()
    expect(inside.locator("pre").first).to_contain_text(f"/v1/collections/{site.collection}/search")
    assert site.key not in inside.content()


# -- negatives -------------------------------------------------------------------------------------


def test_a_person_judges_candidates_with_the_keyboard_alone(inside: Page, site: Site, sample: Sample) -> None:
    inside.goto(f"{site.url}/#/negatives?c={site.collection}&split=train")
    rows = inside.locator("tbody tr")
    expect(rows).not_to_have_count(0)
    expect(inside.locator("svg.plot .point")).not_to_have_count(0)
    inside.locator("h1").click()
    inside.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    pid = rows.nth(1).get_attribute("data-pid")
    inside.keyboard.press("x")
    inside.keyboard.type("about something else")
    inside.keyboard.press("Enter")
    chosen = inside.locator(f"tr[data-pid='{pid}']")
    expect(chosen.locator(".badge")).to_have_text("excluded")
    expect(chosen).to_contain_text("about something else")
    picture(inside, "negatives")
    kept = json.loads(sample.msmctl("negatives", "marks", "ls", "--collection", site.collection, "--json"))
    assert [(one["pid"], one["verdict"]) for one in kept] == [(pid, "excluded")]
    assert kept[0]["by"].startswith("key ")
    inside.keyboard.press("u")
    expect(chosen.locator(".badge")).not_to_have_text("excluded")
    assert json.loads(sample.msmctl("negatives", "marks", "ls", "-c", site.collection, "--json")) == []


def test_filters_show_what_they_leave_and_queries_are_found_by_words(inside: Page, site: Site) -> None:
    inside.goto(f"{site.url}/#/negatives?c={site.collection}&split=train")
    expect(inside.locator("tbody tr")).not_to_have_count(0)
    first = inside.locator("h2").first.text_content()
    inside.locator("h1").click()
    inside.keyboard.press("n")
    expect(inside.locator("h2").first).not_to_have_text(first or "")
    word = max((first or "").rstrip("?").split(), key=len)
    inside.get_by_label("Query: id").fill(word)
    inside.get_by_role("button", name="Show").click()
    expect(inside.locator("h2").first).to_contain_text(word)
    inside.get_by_label("Filters").fill("rank-range=1:1")
    inside.get_by_role("button", name="Show").click()
    expect(inside).to_have_url(re.compile("filter=rank-range"))
    expect(inside.locator("tbody tr").filter(has_text="yes")).not_to_have_count(
        inside.locator("tbody tr").count()
    )


def test_a_view_that_was_left_while_it_loaded_hears_no_keys_and_keeps_its_address_to_itself(
    inside: Page, site: Site
) -> None:
    held: list[tuple[Route, APIResponse]] = []
    asked: list[str] = []
    inside.route("**/negatives?*", lambda route: held.append((route, route.fetch())))
    inside.on("request", lambda request: asked.append(request.method))
    inside.goto(f"{site.url}/#/negatives?c={site.collection}&split=train")
    expect(inside.get_by_role("heading", name="Negatives inspector")).to_be_visible()
    while not held:
        inside.wait_for_timeout(50)
    inside.goto(f"{site.url}/#/jobs?c={site.collection}")
    expect(inside.get_by_role("heading", name="Jobs")).to_be_visible()
    [(route, answer)] = held
    route.fulfill(response=answer)
    inside.evaluate("fetch('/livez')")  # what was answered before has been dealt with
    inside.keyboard.press("u")
    inside.evaluate("fetch('/livez')")
    assert "DELETE" not in asked
    assert "#/jobs" in inside.url


# -- jobs ------------------------------------------------------------------------------------------


@pytest.fixture
def waiting_job(stack: Stack, site: Site) -> Iterator[str]:
    """A job that nobody works on."""
    ledger = open_ledger(context_for(stack.settings, "admin"))
    spec = EncodeSpec(collection=site.collection, collection_version=1, system=MODEL, nonce="page")
    job = ledger.create_job(new_job(spec, "gpu", [], "nobody"))
    yield job.id
    if not ledger.job(job.id).ended:
        steering.cancel(ledger, job.id)
    steering.remove(ledger, job.id)


def test_jobs_are_watched_cancelled_and_opened_again(inside: Page, site: Site, waiting_job: str) -> None:
    inside.goto(f"{site.url}/#/jobs?job={waiting_job}")
    row = inside.get_by_role("row").filter(has_text=waiting_job)
    expect(row).to_contain_text("pending")
    expect(inside.get_by_role("region", name="Job")).to_contain_text("encode")
    row.get_by_role("button", name="Cancel").click()
    inside.get_by_role("button", name="Cancel the job").click()
    expect(row).to_contain_text("cancelled")
    picture(inside, "jobs")
    row.get_by_role("button", name="Retry").click()
    expect(row).to_contain_text("pending")


# -- indices ---------------------------------------------------------------------------------------


def test_another_version_is_served_and_taken_back(inside: Page, site: Site, sample: Sample) -> None:
    def served() -> int:
        listed = json.loads(sample.msmctl("index", "ls", "--collection", site.collection, "--json"))
        return next(one["version"] for one in listed if one["served"])

    now = served()
    inside.goto(f"{site.url}/#/indices?c={site.collection}")
    inside.get_by_role("button", name="Roll back").click()
    inside.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(inside.locator("#notice")).to_contain_text("is served")
    assert served() < now
    inside.get_by_role("row").filter(has_text=re.compile(rf"^{now}\b")).get_by_role("button").click()
    inside.get_by_role("button", name="Serve it").click()
    expect(inside.locator("#notice")).to_contain_text(f"version {now}")
    assert served() == now
    expect(inside.get_by_role("row").filter(has_text=MODEL).last).to_contain_text("train")
    picture(inside, "indices")


# -- for everybody ---------------------------------------------------------------------------------


def script(name: str) -> str:
    """A function that looks through the page."""
    return (Path(__file__).parent / f"{name}.js").read_text()


def fill(page: Page, site: Site, view: str) -> None:
    page.goto(f"{site.url}/#/{view}?c={site.collection}" + (f"&q={QUESTION}" if view == "search" else ""))
    page.locator("table, .hit").first.wait_for()


@pytest.mark.parametrize("view", VIEWS)
def test_on_a_phone_nothing_lies_beyond_the_edge(inside: Page, site: Site, view: str) -> None:
    inside.set_viewport_size(PHONE)  # type: ignore[arg-type]
    fill(inside, site, view)
    assert inside.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    picture(inside, f"{view}-phone")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground_and_controls_have_names(
    inside: Page, site: Site, theme: str
) -> None:
    inside.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    for view in VIEWS:
        fill(inside, site, view)
        assert inside.evaluate(script("pale")) == [], view
        assert inside.evaluate(script("nameless")) == [], view
    picture(inside, f"indices-{theme}")
