"""`sterling reproduce`: options, progress, what lies in the folder, exit codes.

The experiments are replaced by made-up findings, but for one test that breaks off a real run.
"""

import json
import shlex
import signal
from dataclasses import replace

import pytest

import tests.support
from sterling.base.progress import Progress
from sterling.base.resources import usable_cores
from sterling.claims import reproduce as measuring
from sterling.claims.catalogue import CLAIMS
from sterling.claims.reproduce import Reproduction
from tests.crash.processes import DEADLINE, start, wait_until
from tests.findings import made_up

KEYS = list(CLAIMS)


def call(*arguments, code=0):
    return tests.support.call("reproduce", *arguments, code=code, columns=None)


@pytest.fixture
def fake(monkeypatch):
    """Replace the experiments. The dictionary tells what was asked for, and can break the run off."""
    asked = {"finish": len(KEYS)}

    def reproduce(folder, *, effort, threads, executor, only, seed, progress, on_finding):
        asked.update(effort=effort, threads=threads, only=only, seed=seed)
        report = Reproduction((), effort, seed)
        for position, key in enumerate(only):
            if position >= asked["finish"]:
                stop = KeyboardInterrupt()
                stop.reproduction = report
                raise stop
            if progress:
                progress(Progress(position, len(only), key))
            finding = replace(made_up()[0], key=key, title=CLAIMS[key].title, pictures=())
            report = replace(report, findings=(*report.findings, finding), seconds=3.0)
            on_finding(report)
        return report

    monkeypatch.setattr(measuring, "reproduce", reproduce)
    return asked


def test_everything_is_in_the_folder_and_said_so(fake, tmp_path):
    result = call("-o", tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert fake.pop("threads") == usable_cores()
    assert fake == {"finish": len(KEYS), "effort": "default", "only": KEYS, "seed": 2026}
    assert sorted(path.name for path in folder.iterdir()) == [
        "data",
        "explore.html",
        "findings.json",
        "index.html",
    ]
    assert len(list((folder / "data").glob("*.parquet"))) == 2 * len(KEYS)
    assert all(name in result.stdout for name in ("index.html", "explore.html", "findings.json", "data"))
    assert max(len(line) for line in result.stdout.splitlines() if "✓" in line or "◎" in line) <= 120
    assert str(folder / "index.html") in result.stdout.splitlines()[-1]  # what to open stands last
    assert "Missing" not in (folder / "index.html").read_text("utf-8")
    said = result.stderr.splitlines()
    assert [line for line in said if not line.startswith("compiling")] == [
        f"◎ {key}: far inside the bound (12 s)" for key in KEYS
    ]


def test_options_reach_the_experiments_and_the_page(fake, tmp_path, monkeypatch):
    words = ["--quick", "--only", "p3,P1", "--seed", "1e3", "--threads", "2", "-o", str(tmp_path / "a b")]
    monkeypatch.setattr("sys.argv", ["sterling", "reproduce", *words])
    call(*words)
    expected = {"effort": "quick", "only": ["P1", "P3"], "seed": 1000, "threads": 2}
    assert {name: fake[name] for name in expected} == expected
    numbers = json.loads((tmp_path / "a b" / "findings.json").read_text("utf-8"))
    assert shlex.split(numbers["command"]) == ["sterling", "reproduce", *words]
    assert [one["key"] for one in numbers["findings"]] == ["P1", "P3"]


@pytest.mark.parametrize("finish", [0, 2])
def test_an_interrupted_run_leaves_a_page_of_what_there_is(fake, tmp_path, finish):
    fake["finish"] = finish
    result = call("--only", "P1,P2,P3", "-o", tmp_path, code=130)
    assert f"interrupted; missing: {', '.join(KEYS[finish:3])}." in result.stderr
    text = (tmp_path / "index.html").read_text("utf-8")
    assert "This run was ended early." in text
    assert f"{finish} of 3 claims" in text
    assert json.loads((tmp_path / "findings.json").read_text("utf-8"))["missing"] == KEYS[finish:3]


def test_a_real_run_can_be_broken_off(tmp_path):
    out = tmp_path / "out"
    with start("reproduce", "--only", "P1", "-o", out) as process:
        wait_until(lambda: any(out.rglob("study.toml")), process)
        process.send_signal(signal.SIGINT)
        said, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert "interrupted; missing: P1." in err
    assert "Traceback" not in err
    assert "0 claims, effort default" in said
    assert "0 of 1 claims" in (out / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--only", "P9"), "--only is 'P9'; it must be one of P1"),
        (("-o", "{file}/inside"), "Not a directory"),
    ],
)
def test_wrong_usage_is_one_sentence(fake, tmp_path, arguments, words):
    file = tmp_path / "file"
    file.write_text("mine")
    result = call(*(one.format(file=file) for one in arguments), code=2)
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert file.read_text() == "mine"
    assert "effort" not in fake


def test_a_page_that_cannot_be_written_is_a_failure(fake, tmp_path):
    (tmp_path / "findings.json").mkdir()
    result = call("--only", "P1", "-o", tmp_path, code=1)
    assert "cannot write" in result.stderr
