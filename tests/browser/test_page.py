"""Pages in a browser: where things are, what one sees first, saving, colour schemes, print.

The findings are invented.
"""

import base64
import csv
import re
from dataclasses import replace

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import sterling as st
from sterling.claims.catalogue import CLAIMS
from sterling.report.page import Page
from sterling.report.run_page import run_page
from tests.browsing import colour, look, settled
from tests.colours import contrast, darkened
from tests.findings import made_up, sketch

FIGURES = 5
WORDS, PAGES, TOP = 2500, 12, 900  # visible words, printed A4 pages, pixels above the first figure
ANSWER = (
    "As many words as the answer of a claim has, with 1.21 (1.13 to 1.29) and other numbers" + 9 * " word"
)
PLACES = """
    return [...document.querySelectorAll("main figure")].map((one) => one.getBoundingClientRect())
        .filter((box) => box.width).map((box) => box.top + scrollY);
"""

WIDTHS = range(320, 1921, 20)  # CSS pixels
TYPICAL = (320, 390, 600, 768, 880, 1024, 1440)
PAPER = 718  # CSS pixels of an A4 page between its margins

TOPS = """
    return [...document.querySelectorAll(".panels > div")].map((one) => one.getBoundingClientRect().top);
"""
SIDEWAYS = "const root = document.documentElement; return root.scrollWidth - root.clientWidth"

# Width by width, the page in a frame: to set the window's width takes five times as long.
OVERFLOW = """
    const [widths, done] = arguments, frame = document.createElement("iframe");
    frame.style = "border: 0; height: 844px";
    frame.onload = () => {
        const root = frame.contentDocument.documentElement;
        root.style.scrollbarWidth = "none";
        const wrong = widths.filter((width) => {
            frame.style.width = `${width}px`;
            return root.clientWidth !== width || root.scrollWidth !== width;
        });
        frame.remove();
        done(wrong);
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

LABELS = """
    return [...document.querySelectorAll("td[data-label]")].filter((cell) => {
        const label = getComputedStyle(cell, "::before"), room = getComputedStyle(cell).paddingLeft;
        return label.content !== "none" && parseFloat(label.width) > parseFloat(room);
    }).length;
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
def pages(tmp_path_factory, address):
    """Every page that sterling writes, by its name; "claims" has all claims with invented results."""
    folder, patch = tmp_path_factory.mktemp("pages"), pytest.MonkeyPatch()
    results = Page(folder, "quick", 2026, "sterling reproduce --quick")
    for finding in made_up():
        results.add(finding)
    known = st.Problem(n=8, samples=150, noise=0.5).draw(0)
    (folder / "run.html").write_text(run_page(st.train(known, 20_000), known, "sterling train"), "utf-8")
    found = {"results": results.write(missing=[("P4", "Sample size decides")]), "run": folder / "run.html"}
    patch.setattr("sterling.report.page.render", sketch)
    patch.setattr("sterling.report.run_page.render", sketch)
    claims = Page(tmp_path_factory.mktemp("claims"), "quick", 2026, "sterling reproduce --quick")
    for claim in CLAIMS.values():
        words = {name: getattr(claim, name) for name in ("key", "title", "statement", "kind", "source")}
        more = {"reason": f"{ANSWER}. {ANSWER}.", "open": (ANSWER,) if claim.key in ("P4", "P5") else ()}
        claims.add(replace(made_up()[0], **words, **more))
    own = st.Instance(known.inputs, (known.labels > 0.5).astype(float))
    (folder / "own.html").write_text(run_page(st.train(own, 20_000), own), "utf-8")
    patch.undo()
    found |= {"claims": claims.write(), "own": folder / "own.html"}
    return {"explorable": address, **{name: path.as_uri() for name, path in found.items()}}


@pytest.fixture
def page(driver, pages):
    """The page of results, freshly opened and light; at the end the console must be empty."""
    look(driver, "light", 1280)
    driver.get_log("browser")
    driver.get(pages["results"])
    yield driver
    assert driver.get_log("browser") == []


def opened(page):
    page.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.parametrize("name", ["results", "explorable", "run"])
def test_no_page_scrolls_sideways_no_text_lies_on_text_and_nothing_leaves_its_card(driver, pages, name):
    look(driver, "light", 1280)
    driver.get("about:blank")
    driver.get(pages[name])
    if name == "explorable":
        settled(driver)
    opened(driver)
    assert driver.execute_async_script(OVERFLOW, list(WIDTHS)) == []
    for width, media in [*((width, "") for width in TYPICAL), (PAPER, "print")]:
        look(driver, "light", width, media=media)
        assert driver.execute_script(SIDEWAYS) == 0, (width, media)
        assert driver.execute_script(OVERLAPS) == [], (width, media)
        assert driver.execute_script(OUTSIDE) == [], (width, media)
        assert driver.execute_script(LABELS) == 0, (width, media)
    for width in (1024, 1280, 1440, 1920) if name == "explorable" else ():
        look(driver, "light", width)
        one, other = driver.execute_script(TOPS)
        assert abs(one - other) <= 4, width


@pytest.mark.parametrize("name", ["claims", "run", "own"])
def test_one_reads_the_answer_on_the_first_screen_and_the_page_is_short(driver, pages, name):
    for width in (1440, 1280):
        look(driver, "light", width)
        driver.get(pages[name])
        assert min(driver.execute_script(PLACES)) < TOP - 200, width  # so much of it is seen
    text = driver.execute_script("return document.body.innerText")
    assert 0 < len(text.split()) <= WORDS
    look(driver, "light", 1440, media="print")
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert 0 < len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))) <= PAGES


def test_every_claim_has_a_verdict_above_a_line_and_a_figure(driver, pages):
    look(driver, "light", 1440)
    driver.get(pages["claims"])
    strip = driver.find_element(By.CSS_SELECTOR, ".verdicts")
    assert strip.rect["y"] + strip.rect["height"] < 900
    assert [one.text for one in strip.find_elements(By.TAG_NAME, "a")] == list(CLAIMS)
    claims = driver.find_elements(By.CSS_SELECTOR, ".card.claim")
    assert len(claims) == len(CLAIMS)
    for claim in claims:
        assert claim.find_element(By.CSS_SELECTOR, ".found").text == f"{ANSWER}."
        (figure,) = (one for one in claim.find_elements(By.TAG_NAME, "figure") if one.is_displayed())
        assert figure.rect["height"] < 400
        assert claim.find_element(By.TAG_NAME, "details").get_attribute("open") is None
    links = driver.find_elements(By.CSS_SELECTOR, ".menu a")
    driver.execute_script("scrollTo(0, 3000)")
    assert all(link.rect["y"] >= 3000 for link in links)  # the menu stays in view
    links[2].click()
    assert driver.current_url.endswith("#claim-P3")


def test_every_figure_is_shown(page):
    assert page.title.startswith("sterling: ")  # what findings say does not run
    look(page, "dark", 390)
    opened(page)
    figures = page.find_elements(By.CSS_SELECTOR, "figure svg[role=img]")
    assert len(figures) == FIGURES
    for figure in figures:
        assert figure.rect["width"] > 300
        assert figure.rect["height"] > 200
        inked = page.execute_script("const b = arguments[0].getBBox(); return [b.width, b.height]", figure)
        assert min(inked) > 200
        assert figure.accessible_name
    images = page.find_elements(By.CSS_SELECTOR, "figure image")
    assert images
    decoded = """
        return Promise.all([...document.querySelectorAll("figure image")].map((image) => {
            const copy = new Image();
            copy.src = image.getAttribute("href");
            return copy.decode().then(() => copy.naturalWidth);
        }))"""
    assert min(page.execute_script(decoded)) > 0


def saved(page, folder, button):
    """Press a button and return the file that it saves."""
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    before = set(folder.iterdir())
    page.execute_script("arguments[0].click()", button)

    def there(_):
        return [one for one in set(folder.iterdir()) - before if one.suffix in (".csv", ".tex", ".svg")]

    return WebDriverWait(page, 30, 0.05).until(there)[0]


def test_tables_and_figures_are_saved_from_the_file_itself(page, tmp_path):
    opened(page)
    one, other = page.find_elements(By.CSS_SELECTOR, "#claim-P1 table + .save button")
    path = saved(page, tmp_path, one)
    rows = list(csv.reader(path.read_text("utf-8").splitlines()))
    assert (path.name, rows[0]) == ("claim-P1-1.csv", ["Quantity", "Value", "Interval", "From"])
    assert rows[1][:3] == ["exponent α of N₅₀ = C·n^α", "1.043", "1.012 to 1.075 (95 %)"]
    text = saved(page, tmp_path, other).read_text("utf-8")
    assert text.startswith("\\begin{tabular}{llll}\nQuantity & Value & Interval & From \\\\\n")
    assert r"exponent $\alpha$ of N$_{50}$ = C$\cdot$n\textsuperscript{$\alpha$} & 1.043 &" in text
    drawn = saved(page, tmp_path, page.find_element(By.CSS_SELECTOR, "#claim-P1 figure .save button"))
    assert drawn.name == "claim-P1-1.svg"
    page.get(drawn.as_uri())
    assert page.execute_script("return document.documentElement.getBBox().width") > 200
    assert "dimension n" in page.execute_script("return document.documentElement.textContent")


def test_the_keyboard_reaches_details_and_buttons(page):
    """From the top of the page: skip link, verdicts, menu, then the button and the details of a claim."""
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("class") == "skip"
    assert page.switch_to.active_element.rect["y"] >= 0
    reached = []
    for _ in range(40):
        page.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.switch_to.active_element)
        if reached[-1].tag_name == "summary":
            break
    assert reached[-2].text == "SVG"
    outline = page.execute_script("return getComputedStyle(arguments[0]).outlineStyle", reached[-1])
    assert outline == "solid"
    reached[-1].send_keys(Keys.ENTER)
    assert page.find_element(By.CSS_SELECTOR, "#claim-P1 > details").get_attribute("open") is not None


def test_both_colour_schemes(page):
    """Text of the page and of the figures stands out from the background in both, by WCAG 2.2 AA."""
    backs = []
    for scheme in ("light", "dark"):
        look(page, scheme, 1280)
        back = colour(page, "section.card", "backgroundColor")
        backs.append(back)
        assert contrast(colour(page, "body", "color"), colour(page, "body", "backgroundColor")) > 7
        for selector in (".lead", ".glossary", ".kind.theorem", ".kind.mean-field", "section.card summary"):
            assert contrast(colour(page, selector, "color"), back) >= 4.5, (scheme, selector)
        letters = colour(page, "figure svg text", "fill")
        filtered = page.find_element(By.CSS_SELECTOR, "figure svg").value_of_css_property("filter") != "none"
        assert filtered == (scheme == "dark")
        assert contrast(darkened(letters) if filtered else letters, back) >= 4.5, scheme
        for name in ("consistent", "far-inside", "contradicted", "not-decided"):
            for one in (f".judgement.{name}", f".verdicts .{name}"):
                assert contrast(colour(page, one, "color"), colour(page, one, "backgroundColor")) >= 4.5
    assert contrast(*backs) > 10
