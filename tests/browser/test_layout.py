"""Where things are on every page: no sideways scrolling, no text over text, nothing wider than its card."""

import pytest

import sterling as st
from sterling.report.explore import write_explorable
from sterling.report.page import Page
from sterling.report.run_page import run_page
from tests.browsing import drawn, look, settled, turn
from tests.findings import made_up

WIDTHS = range(320, 1921, 20)  # CSS pixels
TYPICAL = (320, 390, 600, 768, 880, 1024, 1440)
PAPER = 718  # CSS pixels of an A4 page between its margins

SIDEWAYS = "const root = document.documentElement; return root.scrollWidth - root.clientWidth"

# Width by width, the page in a frame: to set the window's width takes five times as long.
OVERFLOW = """
    const [widths, done] = arguments, frame = document.createElement("iframe");
    frame.style = "border: 0; height: 844px";
    frame.onload = () => {
        const root = frame.contentDocument.documentElement;
        root.style.scrollbarWidth = "none";
        done(widths.filter((width) => {
            frame.style.width = `${width}px`;
            return root.clientWidth !== width || root.scrollWidth !== width;
        }));
    };
    frame.srcdoc = `<!doctype html>${document.documentElement.outerHTML}`;
    document.body.append(frame);
"""

OVERLAPS = """
    const boxes = (scope) => {
        const found = [], walker = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode, parent = node.parentElement, range = document.createRange();
            if (!node.data.trim() || parent.closest(".out-of-sight, option")) continue;
            if (!parent.checkVisibility()) continue;
            range.selectNodeContents(node);
            for (const box of range.getClientRects()) if (box.width > 1) found.push([node.data.trim(), box]);
        }
        return found;
    };
    const out = [], scopes = "header, thead, tr, figure, .transport, .clock, .steps, .step, label";
    for (const scope of document.querySelectorAll(scopes)) {
        const found = boxes(scope);
        found.forEach(([text, a], i) => found.slice(0, i).forEach(([other, b]) => {
            const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (across > 1 && down > 0.35 * Math.min(a.height, b.height)) out.push(`${other} × ${text}`);
        }));
    }
    return out;
"""

OUTSIDE = """
    const out = [];
    for (const card of document.querySelectorAll(".card")) {
        const { left, right } = card.getBoundingClientRect();
        for (const one of card.querySelectorAll("*")) {
            if (one.closest("svg, .out-of-sight") || one.parentElement.closest(".plot")) continue;
            const box = one.getBoundingClientRect();
            if (!box.width || (box.left >= left - 1 && box.right <= right + 1)) continue;
            out.push(one.outerHTML.slice(0, 80));
        }
    }
    return out;
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Every page that sterling writes, by its name."""
    folder = tmp_path_factory.mktemp("layout")
    results = Page(folder, "quick", 2026, "sterling reproduce --quick")
    for finding in made_up():
        results.add(finding)
    instance = st.Problem(n=8, samples=150, noise=0.5).draw(0)
    run = folder / "run.html"
    run.write_text(run_page(st.train(instance, 20_000), instance, "sterling train"), "utf-8")
    return {
        "results": results.write(missing=[("P4", "Sample size decides")]),
        "explorable": write_explorable(folder / "explore.html"),
        "run": run,
    }


@pytest.fixture(params=["results", "explorable", "run"])
def page(request, driver, pages):
    look(driver, "light", 1280)
    driver.get("about:blank")
    driver.get(pages[request.param].as_uri())
    if request.param == "explorable":
        settled(driver)
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    return driver


def test_no_page_scrolls_sideways_at_any_width(page):
    assert page.execute_async_script(OVERFLOW, list(WIDTHS)) == []


def test_no_text_lies_on_text_and_nothing_leaves_its_card(page):
    for width, media in [*((width, "") for width in TYPICAL), (PAPER, "print")]:
        look(page, "light", width, media=media)
        assert page.execute_script(SIDEWAYS) == 0, (width, media)
        assert page.execute_script(OVERLAPS) == [], (width, media)
        assert page.execute_script(OUTSIDE) == [], (width, media)


def test_each_step_of_the_story_fits_into_the_window(driver, pages):
    look(driver, "light", 1366, height=768)
    script = """
        const parts = "[data-current] h2, [data-current] p, #play, .sliders, .bits, .time, .rails";
        return [...document.querySelectorAll(parts)].filter((one) => one.checkVisibility()).map((one) => {
            const { top, bottom, height } = one.getBoundingClientRect();
            return [one.id || one.className || one.tagName, top, bottom, height];
        });
    """
    for step in range(1, 9):
        turn(driver, f"{pages['explorable'].as_uri()}#story={step}", drawn)
        found = driver.execute_script(script)
        assert len(found) >= 9
        for name, top, bottom, height in found:
            assert 0 <= top < bottom <= 768, (step, name)
            assert height > 15, (step, name)
