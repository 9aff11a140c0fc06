"""A run with label noise: the last iterate leaves the teacher and returns; the time average is right."""

import sys

import sterling as st
from sterling.plot import run, style

instance = st.Problem(n=32, samples=6400, noise=0.5).draw(seed=0)
orbit = st.train(instance, steps=1_000_000)

style.save_figure(run.figure(orbit), sys.argv[1])
