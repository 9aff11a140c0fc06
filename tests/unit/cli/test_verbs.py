"""What all verbs share: exit codes, one line for each error and warning, streams that fail, parsers, help."""

from __future__ import annotations

import errno
import os
import re
import shlex
import subprocess
import sys
import warnings
from dataclasses import fields

import pytest
import typer
from typer.testing import CliRunner

import sterling as st
from sterling.cli import options, study, verbs
from sterling.cli.train import _OPTIMIZER
from sterling.errors import InputError, SterlingWarning, StoreError, UnreadableError
from sterling.optimizers.base import OPTIMIZERS
from tests.support import call

STERLING = [sys.executable, "-m", "sterling"]
SMALL = ["train", "--n", "8", "--samples", "200", "--steps", "10", "--quiet"]
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")


def run(body):
    """Run a verb that does this."""
    app = typer.Typer(cls=verbs._Verbs)
    app.callback()(lambda: None)
    app.command("probe")(body)
    return CliRunner().invoke(app, ["probe"])


@pytest.mark.parametrize(
    "problem, code, text",
    [
        (InputError("n is 0;\n give more"), 2, "error: n is 0; give more"),
        (UnreadableError("damaged"), 2, "error: damaged"),
        (StoreError("cannot write"), 1, "error: cannot write"),
        (MemoryError(), 1, "error: out of memory: take fewer samples, or a smaller n or m"),
        (KeyboardInterrupt(), 130, "interrupted: unsaved results are lost"),
        (KeyboardInterrupt("interrupted at step 3"), 130, "interrupted at step 3"),
        (OSError(errno.EMFILE, "Too many open files"), 1, "error: Too many open files"),
        (PermissionError(13, "Permission denied", "a\x1b.csv"), 1, "error: a\\x1b.csv: Permission denied"),
    ],
)
def test_each_error_is_one_line_and_a_code(problem, code, text):
    def body():
        raise problem

    result = run(body)
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"{text}\n", "")


def test_warnings_are_lines_too():
    result = run(lambda: warnings.warn("the disk is\n slow", SterlingWarning, stacklevel=1))
    assert (result.exit_code, result.stderr) == (0, "warning: the disk is slow\n")


def test_counts():
    assert [*map(options.count, ("7", "1e6", "10_000", "1.5k", "-3"))] == [7, 10**6, 10_000, 1500, -3]
    for text in ("", "1.5", "12,8", "2MB", "1e400", "nan"):
        with pytest.raises(typer.BadParameter, match="whole number"):
            options.count(text)


def test_a_reader_that_has_gone_is_no_disaster():
    command = f"{shlex.join([*STERLING, *SMALL])} --json | true"
    assert subprocess.run(command, shell=True, stderr=subprocess.PIPE, check=False).stderr == b""


@FULL
def test_a_full_output_is_one_line_and_does_not_cost_the_files(tmp_path):
    for words in ([*SMALL, "--out", tmp_path / "run"], ["--help"]):
        command = shlex.join(map(str, [*STERLING, *words]))
        done = subprocess.run(f"{command} > /dev/full", shell=True, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 1
        assert done.stderr == b"error: what it prints cannot be written: No space left on device\n"
    assert st.Orbit.load(tmp_path / "run").steps == 10


def test_without_unicode_no_letter_is_fatal():
    """Nor does a closed stderr or stdout spoil the result."""
    words = ["certify", "--n", "3", "--samples", "30", "--noise", "0.5"]
    command = f"PYTHONIOENCODING=ascii {shlex.join([*STERLING, *words])} 2>&-"
    assert b"proved" in subprocess.check_output(command, shell=True, timeout=120)
    subprocess.check_call(f"{command} >&-", shell=True, timeout=120)


def test_a_press_in_code_from_text_ends_with_130_not_with_the_signal(tmp_path):
    press = "verbs.app = lambda **_: exec('raise KeyboardInterrupt')"
    (tmp_path / "probe.py").write_text(f"from sterling.cli import main, verbs\n{press}\nmain()\n")
    assert subprocess.run([sys.executable, "-m", "probe"], cwd=tmp_path, check=False).returncode == 130


def test_help_and_version_load_nothing_heavy():
    command = [sys.executable, "-X", "importtime", *STERLING[1:], "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == f"sterling {st.__version__}\n"
    assert re.findall(r"\| +(numpy|numba|polars|matplotlib|sterling)$", done.stderr, re.M) == ["sterling"]


VERBS = [[verb.name or verb.callback.__name__] for verb in verbs.app.registered_commands]
STUDY = [["study", verb.name or verb.callback.__name__] for verb in study.app.registered_commands]


@pytest.mark.parametrize("verb", [[], *VERBS, *STUDY])
def test_every_verb_has_help(verb):
    assert "Usage" in call(*verb, "--help").stdout


def test_help_names_the_options_of_each_optimizer():
    for name in OPTIMIZERS.built_in:
        known = ", ".join(one.name for one in fields(OPTIMIZERS.find(name)))
        assert f"{name} ({known})" in _OPTIMIZER or not known
