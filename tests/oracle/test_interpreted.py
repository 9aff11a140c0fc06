"""The kernels as plain Python, which checks each index; in machine code a stray one would be silent."""

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

assert _jit.INTERPRETED
passes.CHUNK = 64  # several chunks, in small data
lookup.FIRST_WAIT, lookup._LOOK_AGAIN = 12, 9  # soon, no state is kept

runs = 0
def check(instance, schedule, surrogate, steps=30, **options):
    global runs
    orbit = st.train(instance, steps, make_schedule(schedule), surrogate, 3, "event", **options)
    rates = naive.rates_of(schedule, steps)
    latent = initial_latent(instance.n, 3)
    data = instance.inputs, instance.labels, instance.readout
    assert_agrees(orbit, naive.simulate(*data, latent, rates, surrogate, instance.teacher))
    short = instance, min(steps, 12), make_schedule(schedule), surrogate, 3
    assert_same_orbit(st.train(*short, "event"), st.train(*short, "dense"))
    runs += orbit.stats.events > 0

SCHEDULES = ("power", 0.5, 0.5), ("constant", 0.3), ("power", 0.4, 0.8), ("table", (1.0, 0.2, 0.1))
SHAPES = (1, 1, 9), (3, 2, 30), (9, 3, 30), (66, 1, 66)
for number, (n, m, samples) in enumerate(SHAPES):
    instance = st.Problem(n, samples, m, 0.7).draw(1)
    check(instance, SCHEDULES[number % 4], PIECEWISE[number % 4])
    check(instance, SCHEDULES[(number + 1) % 4], PIECEWISE[(number + 2) % 4], cache_bytes=1)

# every state is new, and many weights flip
for surrogate in "relu", "clipped_relu":
    check(st.Problem(66, 100).draw(0), ("constant", 0.7), surrogate, 26)
check(st.Problem(20, 40, 3).draw(0), ("constant", 0.7), "identity", 26)

rng = np.random.default_rng(0)
inputs = rng.normal(size=(40, 2, 5)) * [1, 30, 0.1, 1, 2] + [0, 9, 0, 2, -7]
labels = np.rint(rng.normal(size=40) * 8) / 8
for precision in "int16", "int32":
    check(st.Instance(inputs, labels, precision=precision), SCHEDULES[0], "relu")
    check(st.Instance(inputs, labels, precision=precision), SCHEDULES[0], "hard_tanh")

# the two parts of a run
instance = st.Problem(14, 30, 1, 1.0).draw(0)
whole = st.train(instance, 150)
half = st.train(instance, 60)
assert_same_orbit(st.resume(half, instance, steps=90), whole)
assert runs > 8, runs

# the step engine: all optimisers, batches of several sizes, one unit and three, a teacher and none
OPTIMIZERS = st.SGD(momentum=0.5, damping=0.3), st.Adam(clip=0.3), st.Lion(), st.SignSGD(), st.Bop(0.9)
for number, optimizer in enumerate(OPTIMIZERS):
    odd, levels = number % 2, 2 + (number == 1)
    drawn = st.Problem(45, 50, 1 + 2 * odd, 0.7, levels=levels).draw(number)
    inputs = drawn.inputs / 2.0 ** ((number == 1) * np.arange(45) // 2)  # of unlike scales
    more = {"precision": ("int16", "int32")[odd], "levels": levels}
    plain = st.Instance(inputs, drawn.labels / 3**odd, drawn.readout, **more)
    for instance, batch in (drawn, None if odd else 7), (plain, st.Batch(60, replace=True) if odd else 20):
        schedule = None if optimizer.name == "bop" else st.Constant(0.05)
        options = {"optimizer": optimizer, "batch": batch, "surrogate": PIECEWISE[number % 4]}
        step, dense = (st.train(instance, 8, schedule, engine=e, **options) for e in ("step", "dense"))
        assert_same_orbit(step, dense)
print("fine")
"""


def test_as_plain_python(tmp_path):
    """What Numba compiles must be what the source says: here Python itself runs it.

    An index past the end of a buffer raises, also in our own instructions; so does an integer that overflows.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NUMBA_DISABLE_JIT": "1",
    }
    command = [sys.executable, "-c", _SCRIPT]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["fine"]
