"""The section of the explorable page on the certificate, against the definition at all states."""

import re

import numpy as np
import pytest
from selenium.webdriver.support.ui import Select

import sterling as st
from tests.browsing import look, text, turn

NOISY = {"n": 7, "samples": 500, "noise": 0.5}


def balances(problem, seed):
    """Return B′ of all states, by their number, and the number of the teacher, from the definition."""
    instance = st.Problem(**problem).draw(seed)
    teacher, n = instance.teacher.astype(float), instance.n
    rows = []
    for state in range(2**n):
        signs = np.array([1 if state >> k & 1 else -1 for k in range(n)], np.int8)
        push = teacher * instance.gradient(signs)
        rows.append(np.where(signs == teacher, np.maximum(push, 0), push))
    return np.array(rows), sum(1 << k for k in range(n) if teacher[k] > 0)


def least_share(balance, home, factors):
    """Return the share of the time at the teacher that factors prove, or 0."""
    sums = balance @ factors
    elsewhere = np.delete(sums, home).max()
    return -elsewhere / (sums[home] - elsewhere) if elsewhere < 0 else 0.0


def opened(driver, address, problem, seed=3, more=""):
    look(driver, "light", 1280)
    words = {**problem, "seed": seed}
    turn(driver, f"{address}#" + "&".join(f"{name}={value}" for name, value in words.items()) + more)


def put(driver, selector, value):
    """Set a slider, as a hand does."""
    script = """
        const slider = document.querySelectorAll(arguments[0])[arguments[1]];
        slider.value = arguments[2];
        slider.dispatchEvent(new Event("input", {bubbles: true}));
    """
    name, _, at = selector.partition("@")
    driver.execute_script(script, name, int(at or 0), value)


def bound(driver, selector):
    found = re.search(r"at (?:least|most) ([\d.]+) %", text(driver, selector))
    return float(found[1]) / 100 if found else 0.0


def sinks(driver, which):
    label = driver.find_element("id", f"{which}-scales").get_attribute("aria-label")
    return "The right pan sinks" in label


def test_each_bit_on_the_scales(driver, address):
    """The bound of one bit follows from the strongest push and the weakest pull of all states."""
    opened(driver, address, NOISY)
    assert not sinks(driver, "all"), "the scales open with what is possible"
    balance, home = balances(NOISY, 3)
    states = np.arange(len(balance))
    for k in range(0, NOISY["n"], 3):
        right = (states >> k & 1) == (home >> k & 1)
        push, pull = balance[right, k].max(), -balance[~right, k].max()
        Select(driver.find_element("id", "weight")).select_by_index(k)
        assert not sinks(driver, "one")
        share = bound(driver, "#weight-says")
        exact = push / (push + pull)
        assert share - 0.001 <= exact <= share
        for percent, possible in ((int(100 * exact), True), (int(100 * exact) + 1, False)):
            put(driver, "#wrong", percent)
            assert ("Impossible" not in text(driver, "#weight-says")) == possible
            assert sinks(driver, "one") != possible


def test_factors_set_by_hand_and_those_of_the_certificate(driver, address):
    opened(driver, address, NOISY)
    balance, home = balances(NOISY, 3)
    best = st.certify(st.Problem(**NOISY).draw(3)).balance_occupancy
    assert bound(driver, "#bound-says") == pytest.approx(best, abs=1e-3)
    assert bound(driver, "#bound-says") <= best
    assert "only state above zero" in text(driver, "#sum-says")
    driver.find_element("id", "lambda-equal").click()
    equal = least_share(balance, home, np.ones(NOISY["n"]))
    assert 0 <= equal - bound(driver, "#bound-says") < 1e-3
    factors = np.array([100, 90, 80, 100, 70, 95, 85])
    for k, factor in enumerate(factors):
        put(driver, f"#lambda input@{k}", int(factor))
    assert 0 <= least_share(balance, home, factors) - bound(driver, "#bound-says") < 1e-3
    driver.find_element("id", "lambda-one").click()
    assert "give no bound" in text(driver, "#bound-says")
    assert "not below zero" in text(driver, "#sum-says")


def test_what_is_said_where_the_teacher_absorbs_and_where_a_trap_is(driver, address):
    opened(driver, address, {"n": 8, "samples": 400, "noise": 0})
    assert "ends at the teacher" in text(driver, "#bound-says")
    assert "at zero" in text(driver, "#sum-says")
    assert "leaves and returns" not in text(driver, "#certificate")
    opened(driver, address, {"n": 12, "samples": 50, "noise": 0})
    assert "starts in a trap" in text(driver, "#bound-says")
    assert not driver.find_element("id", "lambda-best").is_enabled()
    assert text(driver, "#certificate-note") == ""
    for problem, more, words in (
        (NOISY, "&restart=300,0.05", "runs without them"),
        (NOISY, "&damping=0.5", "without damping"),
        ({"n": 14, "samples": 500, "noise": 0.5}, "", "up to 12 weights"),
    ):
        opened(driver, address, problem, more=more)
        assert words in text(driver, "#certificate-note")
