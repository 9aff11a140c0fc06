"""The map of the explorable page: the counts of the stored study, chosen, pointed at and played."""

import json

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from benchmarks.papers import map as study
from tests.browsing import look, settled, text, turn

KNOWN = json.loads(study.PLACE.read_text())


@pytest.mark.parametrize(("n", "ratio", "noise"), [(24, 16, 1.0), (12, 2, 0.0)])
def test_a_cell_computed_again(n, ratio, noise):
    found = study.cell(n, ratio, noise)
    at = KNOWN["n"].index(n), KNOWN["ratios"].index(ratio), KNOWN["noises"].index(noise)
    for name, counts in found.items():
        assert KNOWN[name][at[0]][at[1]][at[2]] == counts


def test_what_the_page_says_of_the_map_is_in_its_counts():
    plain, damped = (
        np.array(KNOWN[name]) for name in ("plain", "damped")
    )  # by n, N/n, σ and what is counted
    noisy = np.array(KNOWN["noises"]) >= 0.5
    assert (plain[1:, -1, noisy, 1] <= 0.7 * KNOWN["runs"]).all()
    assert (damped[..., 0] - damped[..., 1] <= 0.1 * KNOWN["runs"]).all()
    few, clean = KNOWN["ratios"].index(4), KNOWN["noises"].index(0.0)
    assert (damped[:, few, clean, 1] < 0.5 * plain[:, few, clean, 1]).all()
    assert (damped[:, few, clean, 3] > plain[:, few, clean, 3]).all()


def test_squares_tell_their_counts_and_are_played(driver, address):
    look(driver, "light", 1280)
    turn(driver, f"{address}#n=24&samples=400&noise=0.5")
    (here,) = driver.find_elements("css selector", "#maps .here")
    assert here.get_attribute("aria-label").startswith("n = 24, N = 384 = 16 n, σ = 0.5, without damping.")
    driver.find_element("css selector", "[data-way=damped]").click()
    driver.find_element("css selector", "#maps button[aria-label^='n = 12, N = 6,144']").send_keys(
        Keys.ARROW_DOWN
    )
    driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    counts = KNOWN["damped"][1][0][-2]  # n = 24, the smallest N/n, the second largest noise
    label = driver.switch_to.active_element.get_attribute("aria-label")
    assert label == text(driver, "#map-at")
    assert label.startswith("n = 24, N = 48 = 2 n, σ = 1.5, with damping θ = 0.5. Of 50 runs: ")
    assert [int(part.split()[-1]) for part in label.rstrip(".").split(": ")[1].split(", ")] == counts
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    settled(driver)
    settings = driver.execute_script("return sterling.page.settings")
    expected = {"n": 24, "samples": 48, "noise": 1.5, "damping": 0.5, "seed": 0, "init": 0}
    assert settings | expected == settings
    assert "here" in driver.find_element("css selector", "#maps button[tabindex='0']").get_attribute("class")
