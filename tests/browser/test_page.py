"""The page of a reproduction in a browser: figures, sorting, colour schemes. Its findings are invented."""

import os

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sterling.report.page import Page
from tests.browsing import colour, look
from tests.colours import contrast, darkened
from tests.findings import made_up

FIGURES = 5
JUDGEMENTS = ["consistent", "far inside the bound", "contradicted", "not decided", "not decided"]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    page = Page(folder, "quick", 2026, "sterling reproduce --quick")
    for finding in made_up():
        page.add(finding)
    return page.write(missing=[("P4", "Sample size decides")]).as_uri()


@pytest.fixture
def page(driver, address):
    """The page, freshly opened, 1280 pixels wide and light; at the end the console must be empty."""
    look(driver, "light", 1280)
    driver.get_log("browser")
    driver.get(address)
    yield driver
    assert driver.get_log("browser") == []


def judgements(driver):
    return [cell.text for cell in driver.find_elements(By.CSS_SELECTOR, "#claims tbody .judgement")]


def sorting(driver):
    heads = driver.find_elements(By.CSS_SELECTOR, "#claims thead th")
    return [head.get_attribute("aria-sort") for head in heads]


def test_what_findings_say_does_not_run(page):
    assert page.title.startswith("sterling: ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_figure_is_shown(page, scheme, width):
    look(page, scheme, width)
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


def test_the_table_sorts_by_click(page):
    before = judgements(page)
    assert sorting(page) == ["ascending", None, None, None, None]
    button = page.find_elements(By.CSS_SELECTOR, "#claims thead button")[4]
    button.click()
    assert judgements(page) == JUDGEMENTS
    assert sorting(page) == [None, None, None, None, "ascending"]
    button.click()
    assert judgements(page) == ["not decided", "not decided", *JUDGEMENTS[2::-1]]
    assert sorting(page)[4] == "descending"
    page.find_elements(By.CSS_SELECTOR, "#claims thead button")[0].click()
    assert judgements(page) == before


def test_the_table_sorts_by_keyboard(page):
    """From the top of the page: skip link, the links above, then the buttons of the table's head."""
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("class") == "skip"
    assert page.switch_to.active_element.rect["y"] >= 0
    for _ in range(20):
        page.switch_to.active_element.send_keys(Keys.TAB)
        if page.switch_to.active_element.text == "Measured":
            break
    focused = page.switch_to.active_element
    assert focused.text == "Measured"
    outline = page.execute_script("return getComputedStyle(arguments[0]).outlineStyle", focused)
    assert outline == "solid"
    focused.send_keys(Keys.ENTER)
    values = page.find_elements(By.CSS_SELECTOR, "#claims tbody td[data-label=Measured] .number")
    shown = [value.text for value in values]
    assert shown[:4] == ["0.19951", "1.000", "1.043", "2.9"]
    assert shown[4].startswith("not known")
    page.switch_to.active_element.send_keys(Keys.SPACE)
    assert sorting(page)[2] == "descending"
    values = page.find_elements(By.CSS_SELECTOR, "#claims tbody td[data-label=Measured] .number")
    assert [value.text for value in values][:4] == shown[3::-1]


def test_both_colour_schemes(page):
    """Text of the page and of the figures stands out from the background in both, by WCAG 2.2 AA."""
    backs = []
    for scheme in ("light", "dark"):
        look(page, scheme, 1280)
        back = colour(page, "section.card", "backgroundColor")
        backs.append(back)
        assert contrast(colour(page, "body", "color"), colour(page, "body", "backgroundColor")) > 7
        for selector in (".lead", "figcaption", ".kind.theorem", ".kind.mean-field", "section.card a"):
            assert contrast(colour(page, selector, "color"), back) >= 4.5, (scheme, selector)
        letters = colour(page, "figure svg text", "fill")
        filtered = page.find_element(By.CSS_SELECTOR, "figure svg").value_of_css_property("filter") != "none"
        assert filtered == (scheme == "dark")
        assert contrast(darkened(letters) if filtered else letters, back) >= 4.5, scheme
        for name in ("consistent", "far-inside", "contradicted", "not-decided"):
            pill = f".judgement.{name}"
            assert contrast(colour(page, pill, "color"), colour(page, pill, "backgroundColor")) >= 4.5
    assert contrast(*backs) > 10


def test_a_phone_can_sort_too(page):
    look(page, "light", 390)
    page.find_elements(By.CSS_SELECTOR, "#claims thead button")[4].click()
    assert judgements(page) == JUDGEMENTS


def test_links_lead_somewhere(page):
    page.find_element(By.CSS_SELECTOR, "#claims tbody a").click()
    assert page.current_url.endswith("#claim-P1")
    raw = page.find_element(By.CSS_SELECTOR, "a[href$='.parquet']").get_attribute("href")
    assert os.path.exists(raw.removeprefix("file://"))
