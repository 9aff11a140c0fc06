"""What the reader of the explorable page takes away: a film of the stage, the charts, and a page of a run."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

import sterling as st
from sterling.report.explore import write_explorable
from tests.browsing import drawn, look, visit

OPENED = ("#n=12&samples=400&noise=0.5&seed=5&init=5&speed=200&at=300", 1366, 844)
SVG = "{http://www.w3.org/2000/svg}"

_ENCODED = """
    const [width, height, pictures, done] = arguments, shades = [...Array(256).keys()];
    const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const found = pictures.map((text) => ({data: sterling.compressed(bytes(text)), delay: 5}));
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.readAsDataURL(sterling.gif(width, height, shades.map((i) => [i, 255 - i, i >> 1]), found));
"""


@pytest.fixture
def saved(page, tmp_path):
    """A function that waits for a saved file and returns its path."""
    given = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.execute_cdp_cmd("Browser.setDownloadBehavior", given)

    def wait(name):
        path = tmp_path / name
        WebDriverWait(page, 60, 0.05).until(lambda _: path.exists() and path.stat().st_size > 0)
        return path

    return wait


def test_pictures_are_read_as_they_were_written(page):
    """Pillow reads the same indices: of noise, which fills the table of codes, and of even pictures."""
    generator = np.random.default_rng(0)
    for width, height, colours in ((1, 1, 1), (40, 30, 2), (300, 200, 256), (500, 1, 9)):
        noise = generator.integers(colours, size=(height, width), dtype=np.uint8)
        pictures = [noise, np.zeros_like(noise), noise[::-1]]
        texts = [base64.b64encode(one.tobytes()).decode() for one in pictures]
        content = base64.b64decode(page.execute_async_script(_ENCODED, width, height, texts))
        with Image.open(io.BytesIO(content)) as film:
            assert (film.size, film.n_frames, film.info["loop"]) == ((width, height), 3, 0)
            for number, expected in enumerate(pictures):
                film.seek(number)
                assert film.info["duration"] == 50
                np.testing.assert_array_equal(np.asarray(film.convert("RGB"))[..., 0], expected)


def test_the_film_shows_the_stage(page, saved):
    page.find_element("id", "gif").click()
    ready = "return Number(document.getElementById('gif').textContent.replace(/\\D/g, '')) >= 3"
    WebDriverWait(page, 60, 0.02).until(lambda one: one.execute_script(ready))
    page.find_element("id", "play").click()  # a run that stands ends the film
    with Image.open(saved("sterling.gif")) as film:
        assert film.n_frames >= 3
        assert film.width <= 720
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB")).astype(int)
    assert page.find_element("id", "gif").text == "Save as GIF"
    assert (np.abs(last - [0x00, 0x72, 0xB2]).sum(axis=2) < 60).sum() > 50  # beads on the right side, lines


def test_the_charts_are_saved_with_the_numbers_of_the_run(page, saved):
    page.find_element("id", "svg").click()
    tree = ElementTree.parse(saved("sterling.svg")).getroot()
    lately, always = tree.findall(f"{SVG}g")
    distance = page.execute_script("return sterling.page.run.distance")
    rows = {
        int(one.text): float(one.get("y"))
        for one in lately.findall(f"{SVG}text")
        if one.get("text-anchor") == "end" and float(one.get("x")) < 30
    }
    assert rows[0] > max(value for number, value in rows.items() if number)
    (dot,) = [one for one in lately.findall(f"{SVG}path") if "A4 4" in one.get("d")]
    unit = (rows[0] - rows[max(rows)]) / max(rows)
    height = float(re.match(r"M\S+ ([\d.]+)", dot.get("d"))[1])
    assert (rows[0] - 4 - height) / unit == pytest.approx(distance, abs=0.1)
    assert {"M", "L"} <= set("".join(one.get("d") for one in always.findall(f"{SVG}path")))


def test_a_page_of_a_run_opens_with_it_and_makes_the_same_flips(driver, tmp_path, monkeypatch):
    """Without an address, as some systems drop what follows the #."""
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    start = np.random.default_rng(0).normal(size=10) / 3
    orbit = st.train(st.Problem(n=10, samples=300, noise=0.5).draw(seed=9), steps=400, init=start)
    orbit.explore(tmp_path / "run.html")
    look(driver, "light", 1366)
    visit(driver, (tmp_path / "run.html").as_uri(), drawn)
    driver.execute_script("sterling.page.run.advance(400)")
    assert driver.execute_script("return [...sterling.page.run.latents()]") == orbit.latent.tolist()
    assert write_explorable(tmp_path / "plain.html").read_text("utf-8").count('data-start=""') == 1
