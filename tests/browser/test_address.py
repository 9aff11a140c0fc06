"""The address of the explorable page, and the lines to copy: they make the same run."""

import json
import re
import shlex

import pytest

from tests.browsing import drawn, look, text, turn
from tests.support import call

ATTACKS = (
    "#n=4&samples=50&schedule=power:0.5,0.5:;curl%20x|sh%0A",
    "#n=4&samples=50&restart=300,0.05,$(id)%0Aid",
    "#n=4%0Aid&samples=50;id&seed=1%60id%60&surrogate=relu;id&noise=0.5$(id)&steps=10|id&init=%0A",
)
SHELL = re.compile(r"[\w .,:=-]+", re.ASCII)
PYTHON = re.compile(r'[\w .,:=()\[\]"\n-]+', re.ASCII)

KEYS = (
    "n samples m noise surrogate schedule restart damping seed init latent beside steps story view speed at"
)
PIECES = (
    "1 8 0.5 12 300 1e3 0x10 -1 1e-9 Infinity NaN power: constant: table: 0.5,0.5 300,0.05 , : . relu "
    "identity id ;id $(id) `id` |sh &&id >x <b> ' \" \\ %0A %00 # é = ! \n \r \t \u2028"
)

#: Random fragments, right and hostile; returns those whose lines have other letters, and some lines.
FUZZ = """
    const [count, shell, python] = arguments;
    const keys = arguments[3].split(" "), pieces = [" ", "--out x", "", ...arguments[4].split(" ")];
    let state = 20261201;
    const random = (count) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor(state / 4294967296 * count);
    };
    const pick = (list) => list[random(list.length)];
    const usual = {
        schedule: ["power:0.5,", "constant:0.", "table:0.5,0."], restart: ["300,0.", "75,"],
        latent: ["-0.1,".repeat(11), "2e-9"], beside: ["plain", "damped"],
    };
    const value = (key) => (random(2) && usual[key] ? pick(usual[key]) : "")
        + Array.from({ length: random(4) }, () => pick(pieces)).join("");
    const fragment = () => "#" + Array.from({ length: 1 + random(6) }, () => {
        const key = pick(keys);
        return `${key}=${random(2) ? value(key) : encodeURIComponent(value(key))}`;
    }).join("&");
    const clean = new RegExp(shell), plain = new RegExp(python), bad = [], some = new Map();
    let placed = 0;
    for (let i = 0; i < count; i++) {
        const text = fragment(), { settings } = sterling.fromAddress(text, sterling.storySettings);
        const line = sterling.shellLine(settings, settings.steps);
        const other = sterling.pythonLine(settings, settings.steps);
        if (!(line === null || clean.test(line)) || !plain.test(other)) bad.push(text);
        placed += settings.latent !== null;
        if (line !== null) some.set(`${settings.schedule} ${settings.restart} ${settings.damping}`, line);
    }
    return [bad, [...some.values()], placed];
"""


def test_hostile_addresses_leave_the_lines_clean(driver, address):
    look(driver, "light", 1280)
    for attack in ATTACKS:
        turn(driver, address + attack, drawn)
        line = driver.find_element("id", "shell").text
        assert SHELL.fullmatch(line), line
        assert "id" not in line.replace("identity", ""), line
    patterns = (f"^{pattern.pattern}$" for pattern in (SHELL, PYTHON))
    bad, lines, placed = driver.execute_script(FUZZ, 20_000, *patterns, KEYS, PIECES)
    assert bad == []
    assert len(lines) > 40
    assert placed > 20
    for line in lines[:: len(lines) // 20]:
        program, verb, *words = shlex.split(line)
        assert (program, verb) == ("sterling", "train")
        small = {"--n": "4", "--samples": "20", "--steps": "3"}
        options = dict(zip(words[::2], words[1::2], strict=True)) | small
        call("train", *(word for pair in options.items() for word in pair), "--quiet")


def test_an_address_that_makes_no_sense_does_no_harm(driver, address):
    look(driver, "light", 1280)
    driver.get_log("browser")
    turn(
        driver,
        f"{address}#n=1e9&samples=-3&noise=<b>&surrogate=sigmoid&schedule=power:9e9,9&story=77&at=x&seed=1.5",
    )
    settings = driver.execute_script("return sterling.page.settings")
    assert settings["n"] == 12
    assert settings["surrogate"] == "relu"
    read = "return sterling.fromAddress(arguments[0], sterling.storySettings).settings"
    settings = driver.execute_script(read, "#n=256&samples=99999&m=8&noise=0")
    assert settings["n"] * settings["samples"] * settings["m"] <= 1 << 23
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("step", [1, 4, 6, 7])
def test_lines_beside_a_state_make_the_same_run(driver, address, step):
    """The page at a state of the story, what it shows there, and both of its lines, carried out."""
    look(driver, "light", 1280)
    turn(driver, f"{address}#story={step}&at=1500", drawn)
    shown = driver.execute_script("return sterling.page.run.visited()")
    latent = driver.execute_script("return [...sterling.page.run.latents()]")
    assert text(driver, "#clock") == "1,500"
    assert "at=1500" in driver.current_url
    namespace = {}
    exec(text(driver, "#python"), namespace)
    orbit = namespace["orbit"]
    assert orbit.steps == 1500
    assert orbit.latent.tolist() == latent
    assert text(driver, "#is-last") == f"{orbit.errors} of {orbit.n}"
    assert text(driver, "#is-average") == f"{orbit.ergodic_errors} of {orbit.n}"
    assert text(driver, "#is-occupancy") == f"{100 * orbit.occupancy:.1f} %"
    assert text(driver, "#is-returns") == f"{len(orbit.return_times):,}"
    program, *words = shlex.split(text(driver, "#shell"))
    assert program == "sterling"
    summary = json.loads(call(*words, "--json", "--quiet").stdout)
    assert (summary["visits"], summary["errors"]) == (shown["visits"], orbit.errors)
    assert summary["verdict"] == orbit.verdict.name


@pytest.mark.parametrize(
    "settings",
    [
        {"m": 3, "surrogate": "hard_tanh", "schedule": "constant:0.05", "restart": "300,0.1"},
        {"surrogate": "identity", "schedule": "table:0.5,0.25,0.1", "noise": 0, "init": 12},
        {"damping": 0.5, "schedule": "damped", "surrogate": "hard_tanh"},
        {"damping": 0.25, "surrogate": "relu", "m": 2},
    ],
)
def test_lines_hold_every_setting(driver, address, settings):
    turn(driver, address, drawn)
    script = """
        const settings = {...sterling.storySettings(1), ...arguments[0]};
        return [sterling.pythonLine(settings, 1234567), sterling.shellLine(settings, 1234567)];
    """
    python, shell = driver.execute_script(script, settings)
    namespace = {}
    exec(python.replace("1_234_567", "500"), namespace)
    words = shlex.split(shell.replace("1234567", "500"))[1:]
    summary, orbit = json.loads(call(*words, "--json", "--quiet").stdout), namespace["orbit"]
    same = ("occupancy", "visits", "errors", "ergodic_errors", "schedule", "restart", "optimizer", "steps")
    for name in (*same, "surrogate"):
        assert summary[name] == orbit.to_dict()[name], name
    assert summary["surrogate"] == settings["surrogate"]
    assert summary["optimizer"]["damping"] == settings.get("damping", 0)
    assert (summary["restart"] is not None) == ("restart" in settings)
