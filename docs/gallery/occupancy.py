"""How much of the time the last iterate is right: the mean-field law beside runs, over the sample size."""

import sys

import numpy as np
from matplotlib.figure import Figure

import sterling as st
from sterling.plot import style

figure = Figure(figsize=(7, 4.2), layout="constrained")
ax = figure.subplots()
for n, colour in ((16, style.BLUE), (32, style.VERMILLION), (64, style.GREEN)):
    sizes = np.geomspace(0.1, 4, 30) * n**3 / 8
    problem = st.Problem(n=n, samples=100, noise=0.5)
    law = [st.theory.expected_occupancy(problem, samples=size) for size in sizes]
    ax.plot(sizes, law, color=colour, label=f"n = {n}: law")
    for size in np.geomspace(0.2, 3, 5) * n**3 / 8:
        problem = st.Problem(n=n, samples=int(size), noise=0.5)
        for seed in range(4):
            orbit = st.train(problem.draw(seed=seed), steps=50_000, record=())
            ax.plot(size, orbit.occupancy, "o", ms=4, mfc="none", color=colour)
ax.plot([], [], "o", ms=4, mfc="none", color=style.INK, label="a run")
ax.set_xscale("log")
labels = {"xlabel": "samples N", "ylabel": "occupancy of the teacher (share of the steps)"}
style.tidy(ax, "lower right", ylim=(0, 1), **labels)
style.save_figure(figure, sys.argv[1])
