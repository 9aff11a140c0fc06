"""Without noise, at n = 256 and 4 n samples: plain STE chatters on, ergodic restart comes to rest."""

import sys

from matplotlib.figure import Figure

import sterling as st
from sterling.plot import run, style

instance = st.Problem(n=256, samples=1024).draw(seed=0)
plain = st.train(instance, steps=6_000)
restarted = st.train(instance, steps=6_000, restart=st.Restart())

figure = Figure(figsize=(9, 3.6), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True)
for ax, orbit, name in ((left, plain, "plain STE"), (right, restarted, "with ergodic restart")):
    run.errors_over_time(ax, orbit)
    ax.set_title(f"{name}: {orbit.verdict}", loc="left", fontsize=11, pad=24)
    ax.set_xlim(0, 6_000)
style.save_figure(figure, sys.argv[1])
