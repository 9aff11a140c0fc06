"""Two panels of the run with label noise, one above the other, for narrow screens."""

import sys

from matplotlib.figure import Figure

import sterling as st
from sterling.plot import run, style

instance = st.Problem(n=32, samples=6400, noise=0.5).draw(seed=0)
orbit = st.train(instance, steps=1_000_000)

figure = Figure((4.4, 6.6), layout="constrained", facecolor="white")
above, below = figure.subplots(2)
run.errors_over_time(above, orbit)
run.ergodic_mean(below, orbit)
style.save_figure(figure, sys.argv[1])
