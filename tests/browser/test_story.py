"""The story of the explorable page: what its texts say at which settings, numbers to drag, keys, type."""

import re
from urllib.parse import urlencode

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browsing import GO, drawn, settled, text, until

OPENED = ("", 1366, 768)
CHOICES = {
    "n": [1, 2, 5, 8, 12, 16],
    "samples": [50, 200, 512, 1600],
    "m": [1, 1, 3],
    "noise": [0, 0.3, 0.5],
    "surrogate": ["relu", "relu", "identity", "hard_tanh"],
    "schedule": ["power:0.5,0.5", "constant:0.05", "damped"],
    "restart": ["", "", "75,0.05"],
    "damping": [0, 0, 0.5],
    "beside": ["", "", "damped", "identity"],
    "seed": [5, 6],
    "speed": [10, 1000],
    "view": ["last", "average"],
}
STATE = """
    const {settings, story} = sterling.page, own = sterling.storySettings(story);
    const here = document.querySelector("[data-current]"), free = ["steps", "speed", "view"];
    const values = ["n", "samples", "noise", "damping", "speed"];
    return {
        settings, story,
        names: Object.keys(own).filter((name) => !free.includes(name) && own[name] !== settings[name]),
        title: here.querySelector("h2").innerText, words: here.innerText, place: here.id,
        told: here.querySelector(".text").checkVisibility(),
        dials: [...here.querySelectorAll(".dial")].map((one) => [one.dataset.dial, one.innerText]),
        shown: values.map((name) => [name, document.getElementById(`${name}-shown`).innerText]),
    };
"""


def written(name, value):
    """Return a value as the page shows it."""
    return "none" if name == "damping" and value == 0 else f"{value:,}"


def test_the_text_never_contradicts_the_settings(page):
    """At 50 random settings: each number is the one that is set, and a step speaks of its own settings."""
    random = np.random.default_rng(0)
    for _ in range(50):
        names = random.choice(list(CHOICES), size=random.integers(0, 5), replace=False)
        given = {str(name): CHOICES[name][random.integers(len(CHOICES[name]))] for name in names}
        step = int(random.integers(1, 10))
        given = {"story": step, **given} if step < 9 else {"n": 12, **given}
        page.execute_async_script(GO, urlencode(given))
        until(page, "sterling.page.mode !== 'preparing'")
        found = page.execute_script(STATE)
        settings, words = found["settings"], found["words"]
        for name, shown in found["dials"]:
            assert shown == written(name, settings[name]), given
        for name, shown in found["shown"]:
            assert shown == written(name, settings[name]), given
        own = step == 9 or bool(found["names"])
        assert found["told"] != own, given
        assert (found["title"] == "Your own run") == own, given
        assert found["place"] == f"step-{step}"
        assert {float(number) for number in re.findall(r"σ = ([\d.]+\d)", words)} <= {settings["noise"]}, (
            given
        )
        if own:
            assert ("no errors" in words) == (settings["noise"] == 0), given
            assert ("hidden units have" in words) == (settings["m"] > 1), given
            assert ("The surrogate is" in words) == (settings["surrogate"] != "relu"), given
            assert ("restarts" in words) == bool(settings["restart"]), given
            assert ("Hollow beads" in words) == bool(settings["beside"]), given
            assert ("Damping holds" in words) == (settings["damping"] > 0), given
            usual = settings["schedule"] in ("damped", "power:0.5,0.5")
            assert ("step sizes" in words) != usual, given
            law = page.execute_script(
                "const {data, settings: s} = sterling.page;"
                "return sterling.expectation(data, s.surrogate, s.damping).absorbs"
            )
            assert ("at the teacher stays there" in words) == law, given
            assert ("leaves it again" in words) != law, given


FITTING = """
    const parts = "[data-current] h2, [data-current] p, #play, .sliders, .bits, .time, .rails";
    return [...document.querySelectorAll(parts)].filter((one) => one.checkVisibility()).map((one) => {
        const { top, bottom, height } = one.getBoundingClientRect();
        return [one.id || one.className || one.tagName, top, bottom, height];
    });
"""
END = """
    const {run, settings} = sterling.page;
    run.advance(settings.steps);
    const wrong = [...run.average()].filter((x, k) => (x >= 0) !== (run.data.teacher[k] > 0)).length;
    const {history} = run, sum = history.area.reduce((a, b) => a + b);
    return {verdict: run.verdict(), wrong, distance: run.distance, first: run.visited().firstHit,
            returns: run.visited().returns, start: history.start, mean: sum / run.anchor};
"""


def test_each_step_fits_into_the_window_and_what_it_says_comes_out(page):
    """The story is turned over by its button; each step's run is taken to its end."""
    ends = {}
    for step in range(1, 9):
        (current,) = page.find_elements(By.CSS_SELECTOR, "#story a[aria-current=step]")
        assert current.text.split()[0] == str(step)
        assert page.execute_script("return sterling.page.story") == step
        assert step == 1 or page.current_url.endswith(f"#story={step}")
        found = page.execute_script(FITTING)
        assert len(found) >= 9
        for name, top, bottom, height in found:
            assert 0 <= top < bottom <= 768, (step, name)
            assert height > 15, (step, name)
        ends[step] = page.execute_script(END)
        page.find_element(By.ID, "next").click()
        drawn(page)
    assert text(page, "[data-current] h2") == "Your own run"
    assert (ends[1]["verdict"], ends[1]["start"]) == ("OPTIMAL", 2)
    assert (ends[2]["verdict"], ends[2]["start"]) == ("OPTIMAL", 7)
    assert 30 <= ends[2]["first"] <= 50
    for step in (3, 4, 5):
        assert ends[step]["verdict"] == "RECURRENT"
        assert ends[step]["returns"] > 1000
        assert ends[step]["wrong"] == 0
    assert (ends[6]["verdict"], ends[6]["first"]) == ("OPTIMAL", 15)
    assert ends[7]["verdict"] is None
    assert 8 <= ends[7]["mean"] <= 16
    assert 3 <= ends[7]["wrong"] <= 10
    assert ends[7]["start"] == ends[8]["start"]
    assert ends[8]["verdict"] == "OPTIMAL"
    assert ends[8]["first"] > 600
    page.execute_script("history.back()")
    until(page, "sterling.page.story === 8")


def test_a_slider_never_stops_the_run(page):
    """Neither one of the stage nor a number of the text, dragged or turned by keys; and none starts it."""
    slider = page.find_element(By.ID, "samples")
    slider.send_keys(Keys.ARROW_RIGHT)
    settled(page)
    assert text(page, "#play") == "Play"
    page.find_element(By.ID, "play").click()
    for act in (
        lambda: slider.send_keys(Keys.ARROW_RIGHT),
        lambda: page.find_element(By.CSS_SELECTOR, "[data-current] [data-dial=n]").send_keys(Keys.ARROW_UP),
        lambda: page.find_element(By.ID, "noise").send_keys(Keys.ARROW_RIGHT),
    ):
        run = page.execute_script("return window.before = sterling.page.run")
        assert run
        act()
        assert text(page, "#play") == "Pause"
        until(page, "sterling.page.run !== before && sterling.page.mode === 'playing'")
    script = "const { n, samples, noise } = sterling.page.settings; return [n, samples, noise]"
    assert page.execute_script(script) == [3, 600, 0.05]
    page.find_element(By.ID, "play").click()
    settled(page)


def test_a_number_of_the_text_is_dragged(page):
    dial = page.find_element(By.CSS_SELECTOR, "[data-current] [data-dial=samples]")
    ActionChains(page).click_and_hold(dial).move_by_offset(41, 3).release().perform()
    settled(page)
    assert page.execute_script("return sterling.page.data.samples") == 1200
    assert (dial.text, dial.get_attribute("aria-valuetext")) == ("1,200", "1,200")
    assert text(page, "[data-current] h2") == "Your own run"
    page.find_element(By.LINK_TEXT, "Back to step 1").click()
    settled(page)
    assert (dial.text, text(page, "[data-current] h2")) == ("200", "Two weights in a plane")


def test_the_reader_scrolls_from_step_to_step(page):
    ActionChains(page).scroll_by_amount(0, 10).perform()
    page.execute_script("document.getElementById('step-3').scrollIntoView()")
    until(page, "sterling.page.story === 3 && sterling.page.settings.noise === 0.5")
    assert page.current_url.endswith("#story=3")
    page.find_element(By.CSS_SELECTOR, "#story li:nth-child(7) a").click()
    settled(page)
    assert page.execute_script("return [sterling.page.story, sterling.page.data.n]") == [7, 128]
    top = page.execute_script("return document.getElementById('head-7').getBoundingClientRect().top")
    assert 0 < top < 200


def test_keys_do_what_buttons_do(page):
    def press(*keys, shift=False):
        chain = ActionChains(page).key_down(Keys.SHIFT) if shift else ActionChains(page)
        chain = chain.send_keys(*keys)
        (chain.key_up(Keys.SHIFT) if shift else chain).perform()
        drawn(page)
        return page.execute_script("return [sterling.page.story, sterling.page.run.step]")

    flips = [3, 26]
    assert press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT) == [1, 2]
    assert press(Keys.ARROW_LEFT) == [1, 1]
    assert press(Keys.ARROW_RIGHT, shift=True) == [1, flips[0]]
    assert press(Keys.ARROW_RIGHT, shift=True) == [1, flips[1]]
    assert press(Keys.ARROW_LEFT, shift=True) == [1, flips[0]]
    assert press(Keys.ARROW_LEFT, shift=True) == [1, 0]
    ActionChains(page).send_keys(" ").perform()
    until(page, "sterling.page.mode === 'playing' && sterling.page.run.step > 0")
    assert press(" ")[1] > 0
    assert press("3") == [3, 0]
    assert press("9") == [None, 0]
    assert press("1") == [1, 0]
    page.execute_script("document.querySelector('details.more').open = true")
    page.find_element(By.ID, "seed").send_keys("3", " ", Keys.ARROW_RIGHT, "f")
    assert press() == [1, 0]


def test_the_presenters_view_is_large_and_without_prose(page):
    size = "return parseFloat(getComputedStyle(document.getElementById('play')).fontSize)"
    usual = page.execute_script(size)
    ActionChains(page).send_keys("2", "f").perform()
    drawn(page)
    assert page.execute_script(size) > 1.2 * usual
    assert text(page, "#headline") == "Twelve weights find the teacher"
    seen = "return document.getElementById(arguments[0]).checkVisibility()"
    for part in ("title", "telling", "land", "python"):
        assert not page.execute_script(seen, part), part
    for part in ("play", "n", "student-bits", "whole"):
        assert page.execute_script(seen, part), part
        bottom = f"return document.getElementById('{part}').getBoundingClientRect().bottom"
        assert page.execute_script(bottom) <= 768
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert page.execute_script(size) == usual
    assert page.execute_script(seen, "telling")


def test_two_weights_are_shown_in_their_plane(page):
    label = page.find_element(By.ID, "plane")
    for _ in range(2):
        x, y = page.execute_script("return [...sterling.page.run.latents()]")
        assert label.accessible_name == f"Latent weights {x:.2f} and {y:.2f}; the teacher’s bits are 1 and -1"
        page.find_element(By.ID, "flip").click()
        page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    x, y = page.execute_script("return [...sterling.page.run.latents()]")
    unit = min(label.size["width"], label.size["height"]) / 4.8
    hand = ActionChains(page).move_to_element_with_offset(label, round(x * unit), round(-y * unit))
    hand.click_and_hold().move_to_element_with_offset(label, round(unit), round(-unit)).release().perform()
    assert page.execute_script("return sterling.page.settings.latent") == pytest.approx([1, 1], abs=0.05)
    assert "latent weights that you have set" in text(page, "[data-current] .own")
    page.find_element(By.ID, "play").click()
    page.find_element(By.ID, "n").send_keys(Keys.ARROW_RIGHT)
    settled(page)
    assert not label.is_displayed()
