"""What several test files share: comparing orbits, the schedules that they run through, the command line."""

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import sterling as st
from sterling.cli.verbs import app
from sterling.dynamics.run import _Pace
from sterling.dynamics.state import EVALUATIONS, READ

ROOT = Path(__file__).resolve().parents[1]

PIECEWISE = ("relu", "identity", "clipped_relu", "hard_tanh")
SMOOTH = ("sigmoid", "approx_sign", "swish_sign")


def counted(usual, thorough):
    """Return how many cases to run: ``thorough`` with the option ``--thorough`` of pytest."""
    return thorough if "STERLING_THOROUGH" in os.environ else usual


def make_schedule(description):
    """Return the schedule for ("constant", rate), ("power", rate, exponent) or ("table", rates)."""
    kind, *numbers = description
    return {"constant": st.Constant, "power": st.Power, "table": st.Table}[kind](*numbers)


def label(description):
    """Return a short test id for such a description."""
    kind, *numbers = description
    if kind == "table":
        return f"table{len(numbers[0])}" + ("-ends-in-zero" if numbers[0][-1] == 0 else "")
    return "-".join([kind, *(f"{number:g}" for number in numbers)])


def assert_same_orbit(one, other):
    """Assert that two orbits agree bit for bit in everything but the cost and the engine's name."""
    assert one.verdict is other.verdict
    assert one.certified == other.certified
    for name in ("steps", "errors", "ergodic_errors", "occupancy", "visits", "first_hit", "reference_kind"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("signs", "reference", "wrong_share", "return_times", "sojourn_times"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("latent", "ergodic_mean"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.tobytes() == theirs.tobytes(), f"{name} differs by {np.abs(mine - theirs).max():g}"
    assert one.recorded == other.recorded
    if one.recorded:
        np.testing.assert_array_equal(one.flips, other.flips, err_msg="flips")
        assert one.flips.dtype == other.flips.dtype
        assert one.flips_complete_to == other.flips_complete_to
    assert one.stats.events == other.stats.events
    assert one.stats.flips == other.stats.flips
    states = one._course.state, other._course.state
    for name, a, b in zip(states[0]._fields, *states, strict=True):
        if name == "clock":  # all that a checkpoint holds, less what the run cost
            a, b = np.delete(a, [EVALUATIONS, READ]), np.delete(b, [EVALUATIONS, READ])
        assert a.tobytes() == b.tobytes(), f"state.{name}: {a} and {b}"


def assert_agrees(orbit, run, *, tolerance=1e-10):
    """Assert that an orbit is the one that the naive loop saw (`tests.oracle.naive.Run`)."""
    assert orbit.steps == run.steps
    flips = [(int(f["step"]), int(f["coordinate"]), int(f["sign"])) for f in orbit.flips]
    for number, (mine, theirs) in enumerate(zip(flips, run.flips, strict=False)):
        assert mine == theirs, f"flip {number}"
    assert len(flips) == len(run.flips)
    assert orbit.stats.events == run.events
    assert orbit.stats.flips == len(run.flips)
    np.testing.assert_array_equal(orbit.signs, run.states[-1])
    np.testing.assert_array_equal(orbit.reference, run.reference)
    assert orbit.reference_kind == ("teacher" if run.teacher_known else "lowest risk seen")
    assert orbit.occupancy == run.occupancy
    assert orbit.visits == run.visits
    assert orbit.first_hit == run.first_hit
    assert orbit.return_times.tolist() == run.return_times
    assert orbit.sojourn_times.tolist() == run.sojourn_times
    assert orbit.errors == run.errors
    np.testing.assert_allclose(orbit.wrong_share, run.wrong_share, rtol=0, atol=1e-14)
    scale = 1 / np.sqrt(orbit.n)
    np.testing.assert_allclose(orbit.ergodic_mean, run.ergodic_mean, rtol=0, atol=tolerance * scale)
    clear = np.abs(run.ergodic_mean) > tolerance * scale  # a mean of zero may round to either side
    assert np.all((np.sign(run.ergodic_mean) == orbit.ergodic_signs)[clear])
    np.testing.assert_allclose(orbit.latent, run.latent, rtol=tolerance, atol=tolerance)
    assert orbit.verdict.absorbed == run.absorbed
    at = [0, 1, run.steps // 3, run.steps // 2, run.steps - 1, run.steps]
    assert orbit.distance(at).tolist() == run.distance(at)


def interrupted(function, *arguments, **options):
    """Return the orbit that a call which Ctrl-C ends brings with its KeyboardInterrupt."""
    with pytest.raises(KeyboardInterrupt) as caught:
        function(*arguments, **options)
    assert "attribute `orbit`" in caught.value.__notes__[0]
    return caught.value.orbit  # type: ignore[attr-defined]


def go_slowly(monkeypatch, budget=1):
    """Let the loop look up after every bit of work, whatever the clock says."""

    def start(self, step):
        self.budget, self.begun, self.mark = budget, 0.0, 0.0
        self.rate, self._last = None, (0.0, step)

    monkeypatch.setattr(_Pace, "__init__", start)
    monkeypatch.setattr(_Pace, "tick", lambda self, step: True)


def call(*arguments, code=0, columns=100):
    """Run the command line in this process; it must end with this exit code, and without a traceback."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": columns and str(columns)})
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result


def refused(*arguments, code=2):
    """Run a command that must fail with one line on stderr and nothing else, and return that line."""
    result = call(*arguments, code=code)
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert result.stdout == ""
    return line
