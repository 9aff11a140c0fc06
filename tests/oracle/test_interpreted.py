"""The kernels as plain Python, and compiled with bounds checks: a stray index would else be silent."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support import ROOT

# Small runs through every branch of the kernels: wide and narrow sums, several units and chunks, all
# surrogates and kinds of schedule, a cache that evicts and one that grows, and no teacher.
_SCRIPT = """
import warnings
warnings.simplefilter("error")
warnings.simplefilter("ignore", __import__("sterling").SterlingWarning)

import numpy as np
import sterling as st
from sterling.exact import jit as _jit
from sterling.dynamics import lookup, passes
from sterling.dynamics.options import initial_latent
from tests.oracle import naive
from tests.support import PIECEWISE, assert_agrees, assert_same_orbit, make_schedule

assert _jit.INTERPRETED is {interpreted}
STEPS = {steps}
passes.CHUNK = 64  # several chunks, in small data
lookup.FIRST_WAIT, lookup._TRIAL, lookup._LOOK_AGAIN = 12, 5, 9  # soon, no state is kept

runs = 0
def check(instance, schedule, surrogate, steps=STEPS, **options):
    global runs
    orbit = st.train(instance, steps, make_schedule(schedule), surrogate, 3, "event", **options)
    rates = naive.rates_of(schedule, steps)
    latent = initial_latent(instance.n, 3)
    data = instance.inputs, instance.labels, instance.readout
    assert_agrees(orbit, naive.simulate(*data, latent, rates, surrogate, instance.teacher))
    short = instance, min(steps, 40), make_schedule(schedule), surrogate, 3
    assert_same_orbit(st.train(*short, "event"), st.train(*short, "dense"))
    runs += orbit.stats.events > 0

SCHEDULES = ("power", 0.5, 0.5), ("constant", 0.3), ("power", 0.4, 0.8), ("table", (1.0, 0.2, 0.1))
SHAPES = (1, 1, 9), (3, 2, 30), (8, 1, 70), (9, 3, 40), (17, 2, 50), (66, 1, 90)
for number, (n, m, samples) in enumerate(SHAPES):
    instance = st.Problem(n, samples, m, 0.7).draw(1)
    check(instance, SCHEDULES[number % 4], PIECEWISE[number % 4])
    check(instance, SCHEDULES[(number + 1) % 4], PIECEWISE[(number + 2) % 4], cache_bytes=1)

# every state is new, and many weights flip
for surrogate in "relu", "clipped_relu":
    check(st.Problem(70, 150).draw(0), ("constant", 0.7), surrogate, 40)
check(st.Problem(40, 50, 3).draw(0), ("constant", 0.7), "identity", 40)

rng = np.random.default_rng(0)
inputs = rng.normal(size=(40, 2, 5)) * [1, 30, 0.1, 1, 2] + [0, 9, 0, 2, -7]
labels = np.rint(rng.normal(size=40) * 8) / 8
for precision in {precisions}:
    check(st.Instance(inputs, labels, precision=precision), SCHEDULES[0], "relu")
    check(st.Instance(inputs, labels, precision=precision), SCHEDULES[0], "hard_tanh")

# more states than a cache of the first size holds, and the two parts of a run
instance = st.Problem(14, 30, 1, 1.0).draw(0)
whole = st.train(instance, {long})
half = st.train(instance, {long} // 3)
assert_same_orbit(st.resume(half, instance, steps={long} - {long} // 3), whole)
assert runs > 12, runs
print("fine")
"""


def run_script(tmp_path, variables, **values):
    script = _SCRIPT
    for name, value in values.items():
        script = script.replace("{" + name + "}", repr(value))
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        "NUMBA_CACHE_DIR": str(tmp_path),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["fine"]


def test_as_plain_python(tmp_path):
    """What Numba compiles must be what the source says: here Python itself runs it, bounds and all."""
    run_script(
        tmp_path,
        {"NUMBA_DISABLE_JIT": "1"},
        interpreted=True,
        steps=60,
        long=60,
        precisions=("int16", "int32"),
    )


def test_with_bounds_checks(tmp_path):
    """An index past the end of a buffer raises here; elsewhere it would read a neighbour's memory.

    Only one width of codes, and machine code that is not optimised: to compile is what takes the time.
    """
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0"}
    run_script(tmp_path, checked, interpreted=False, steps=500, long=20_000, precisions=("int16",))
