"""The pages of a reproduction and of a run in a browser: what one sees first, saving, colour schemes, print.

The findings are invented.
"""

import base64
import csv
import os
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
from tests.browsing import colour, look
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


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    page = Page(folder, "quick", 2026, "sterling reproduce --quick")
    for finding in made_up():
        page.add(finding)
    return page.write(missing=[("P4", "Sample size decides")]).as_uri()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of all claims with their own words and an invented result each, and pages of two runs."""
    folder, patch = tmp_path_factory.mktemp("pages"), pytest.MonkeyPatch()
    patch.setattr("sterling.report.page.render", sketch)
    patch.setattr("sterling.report.run_page.render", sketch)
    page = Page(folder, "quick", 2026, "sterling reproduce --quick")
    for claim in CLAIMS.values():
        own = {name: getattr(claim, name) for name in ("key", "title", "statement", "kind", "source")}
        more = {"reason": f"{ANSWER}. {ANSWER}.", "open": (ANSWER,) if claim.key in ("P4", "P5") else ()}
        page.add(replace(made_up()[0], **own, **more))
    drawn = st.Problem(n=8, samples=150, noise=0.5).draw(0)
    own = st.Instance(drawn.inputs, (drawn.labels > 0.5).astype(float))
    for name, instance in (("known", drawn), ("own", own)):
        (folder / f"{name}.html").write_text(run_page(st.train(instance, 20_000), instance), "utf-8")
    patch.undo()
    return {"results": page.write(), **{name: folder / f"{name}.html" for name in ("known", "own")}}


@pytest.fixture
def page(driver, address):
    """The page, freshly opened, 1280 pixels wide and light; at the end the console must be empty."""
    look(driver, "light", 1280)
    driver.get_log("browser")
    driver.get(address)
    yield driver
    assert driver.get_log("browser") == []


def opened(page):
    page.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.parametrize("name", ["results", "known", "own"])
def test_one_reads_the_answer_on_the_first_screen_and_the_page_is_short(driver, pages, name):
    for width in (1440, 1280):
        look(driver, "light", width)
        driver.get(pages[name].as_uri())
        assert min(driver.execute_script(PLACES)) < TOP - 200, width  # so much of it is seen
    text = driver.execute_script("return document.body.innerText")
    assert 0 < len(text.split()) <= WORDS
    look(driver, "light", 1440, media="print")
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert 0 < len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))) <= PAGES


def test_every_claim_has_a_verdict_above_a_line_and_a_figure(driver, pages):
    look(driver, "light", 1440)
    driver.get(pages["results"].as_uri())
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


@pytest.mark.parametrize("scheme, width", [("light", 390), ("dark", 1280)])
def test_every_figure_is_shown(page, scheme, width):
    assert page.title.startswith("sterling: ")  # what findings say does not run
    look(page, scheme, width)
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
    assert rows[1] == [
        "exponent α of N₅₀ = C·n^α",
        "1.043",
        "1.012 to 1.075 (95 %)",
        "measured, profile likelihood",
    ]
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


def test_links_lead_somewhere(page):
    page.find_element(By.CSS_SELECTOR, ".verdicts a").click()
    assert page.current_url.endswith("#claim-P3")
    raw = page.find_element(By.CSS_SELECTOR, "a[href$='.parquet']").get_attribute("href")
    assert os.path.exists(raw.removeprefix("file://"))
