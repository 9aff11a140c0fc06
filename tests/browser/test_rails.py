"""Rails of the explorable page: beads that are dragged, bits that are clicked, the scrubber, a second run."""

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import sterling as st
from tests.browsing import drawn, look, settled, text, turn, until, visit

NOISY = "n=12&samples=400&noise=0.5&seed=5&init=5&speed=100"
OPENED = (f"#{NOISY}&at=300", 1366, 844)

#: Where a bead is, from the middle of its canvas, in CSS pixels.
BEAD = """
    const k = arguments[0], canvas = document.getElementById("rails");
    canvas.scrollIntoView({block: "center"});
    const { height, width } = canvas.getBoundingClientRect();
    const { run } = sterling.page, most = 6 / Math.sqrt(run.n), row = Math.min(40, (height - 24) / run.n);
    const u = run.latents()[k], share = Math.sign(u) * Math.min(1, Math.sqrt(Math.abs(u) / most));
    return [share * (width / 2 - 34), 4 + (k + 0.5) * row - height / 2, width].map(Math.round);
"""


def latents(driver):
    return driver.execute_script("return [...sterling.page.run.latents()]")


def same_as_python(driver):
    """The line of Python makes the run that the page shows; return its orbit."""
    if driver.execute_script("return sterling.page.mode") != "still":
        driver.find_element("id", "play").click()
        drawn(driver)
    namespace = {}
    exec(text(driver, "#python"), namespace)
    orbit = namespace["orbit"]
    assert orbit.steps == driver.execute_script("return sterling.page.run.step")
    assert orbit.latent.tolist() == latents(driver)
    assert text(driver, "#is-average") == f"{orbit.ergodic_errors} of {orbit.n}"
    return orbit


def played(driver, step=40):
    until(driver, "sterling.page.run.step > arguments[0]", step)


def test_a_dragged_bead_starts_a_run_that_python_makes_too(page):
    rails = page.find_element("id", "rails")
    for kind in ("touch", "mouse"):
        before, (x, y, width) = latents(page), page.execute_script(BEAD, 3)
        side = -1 if before[3] > 0 else 1
        hand = ActionBuilder(page, mouse=PointerInput(kind, kind), duration=0)
        hand.pointer_action.move_to(rails, x, y).pointer_down()
        for share in (0.1, 0.2, 0.3):
            hand.pointer_action.move_to(rails, round(side * share * width), y)
        hand.pointer_action.pointer_up()
        hand.perform()
        played(page)
        held = page.execute_script("return sterling.page.settings.latent")
        assert held[:3] + held[4:] == before[:3] + before[4:]
        assert np.sign(held[3]) == side
        assert same_as_python(page).start_latent.tolist() == held
    assert not page.find_element("id", "shell").is_displayed()
    assert "no latent weights" in text(page, "#no-shell")
    script = "return sterling.fromAddress(location.hash, sterling.storySettings).settings.latent"
    assert page.execute_script(script) == held
    visit(page, page.current_url, drawn)
    assert same_as_python(page).start_latent.tolist() == held
    page.find_element("id", "drawn").click()
    assert page.find_element("id", "shell").is_displayed()
    assert page.execute_script("return sterling.page.settings.latent") is None


def test_a_bead_is_moved_by_keys(page):
    before, rails = latents(page), page.find_element("id", "rails")
    rails.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.SHIFT, Keys.ARROW_LEFT)
    held = latents(page)
    assert held[:2] + held[3:] == before[:2] + before[3:]
    assert held[2] < before[2]
    assert page.execute_script("return sterling.page.run.step") == 0
    assert rails.get_attribute("aria-valuetext").startswith("Weight 3 is ")
    assert float(rails.get_attribute("aria-valuenow")) == held[2]
    rails.send_keys(Keys.ENTER)
    played(page)
    same_as_python(page)


def test_a_click_on_a_bit_turns_it(page):
    before, bits = latents(page), page.find_element("id", "student-bits")
    across, cell = page.execute_script(
        "arguments[0].scrollIntoView({block: 'center'});"
        "const { width, height } = arguments[0].getBoundingClientRect();"
        "return [width / 2, Math.min(width / 4, height / 3)]",
        bits,
    )
    ActionChains(page, duration=0).move_to_element_with_offset(bits, cell / 2, 0).click().perform()
    played(page, 3)
    start = page.execute_script("return sterling.page.settings.latent")
    assert across > 2 * cell
    assert start[:6] + start[7:] == before[:6] + before[7:]
    assert start[6] == -np.sign(before[6]) / np.sqrt(12)
    same_as_python(page)


def test_the_whole_run_is_gone_through_by_hand(driver, address):
    """By mouse and by keys: the page shows the run at that step, and the chart keeps the whole run."""
    look(driver, "light", 1366)
    visit(driver, f"{address}#{NOISY}&beside=restart&at=5000", drawn)
    whole = driver.find_element("id", "whole")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", whole)
    hand = ActionChains(driver, duration=0).move_to_element(whole).click_and_hold()
    hand.move_by_offset(40, 0).move_by_offset(-90, 0).release().perform()
    drawn(driver)
    step, end, other = driver.execute_script(
        "const { run, tape } = sterling.page; return [run.step, tape.end.step, tape.other.step]"
    )
    assert (end, other) == (5000, step)
    assert 1000 < step < 2500
    assert f"at={step}" in driver.current_url
    orbit = same_as_python(driver)
    assert text(driver, "#is-returns") == f"{len(orbit.return_times):,}"
    slider = driver.find_element("id", "at")
    slider.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    drawn(driver)
    assert driver.execute_script("return sterling.page.run.step") == step - 100
    slider.send_keys(Keys.END)
    drawn(driver)
    assert driver.execute_script("return sterling.page.run.step") == 5000
    assert same_as_python(driver).steps == 5000


@pytest.mark.parametrize("beside", ["plain", "restart"])
def test_a_second_run_has_the_same_data_and_start(driver, address, beside):
    look(driver, "light", 1366)
    main = "damping=0.5&schedule=damped" if beside == "plain" else ""
    turn(driver, f"{address}#{NOISY}&{main}&beside={beside}&at=700", drawn)
    namespace = {}
    exec(text(driver, "#python"), namespace)
    orbit, other = namespace["orbit"], namespace["beside"]
    shown = driver.execute_script("return [...sterling.page.tape.other.latents()]")
    assert (orbit.latent.tolist(), other.latent.tolist()) == (latents(driver), shown)
    assert (orbit.start_latent == other.start_latent).all()
    assert text(driver, "#beside-verdict").startswith("beside it, ")
    assert ("OPTIMAL" in text(driver, "#beside-verdict")) == (other.verdict is st.Verdict.OPTIMAL)


def test_a_weight_that_is_pointed_at_is_marked_everywhere(page):
    """In each picture of weights, with its values in a line."""
    settled(page)
    orbit, names = same_as_python(page), ("rails", "teacher-bits", "student-bits", "recent", "landscape")
    pictures = "return arguments[0].map((id) => document.getElementById(id).toDataURL())"
    before = page.execute_script(pictures, names)
    x, y, _ = page.execute_script(BEAD, 4)
    ActionChains(page, duration=0).move_to_element_with_offset(
        page.find_element("id", "rails"), x, y
    ).perform()
    WebDriverWait(page, 10, 0.02).until(lambda one: "Weight 5 is" in text(one, "#values"))
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    for name, old, new in zip(names, before, page.execute_script(pictures, names), strict=True):
        assert old != new, name
    shown = text(page, "#values").replace("−", "-")
    assert f"latent {orbit.latent[4]:.3g}"[:12] in shown
    assert f"wrong in {100 * orbit.wrong_share[4]:.1f} % of the steps" in shown
