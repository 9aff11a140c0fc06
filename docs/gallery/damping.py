"""With label noise a plain run leaves the teacher again and again; with damping it comes to rest there."""

import sys

from matplotlib.figure import Figure

import sterling as st

instance = st.Problem(n=32, samples=1000, noise=0.5).draw(seed=0)

figure = Figure(figsize=(9, 3.6), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True)
for ax, damping in ((left, 0.0), (right, 0.5)):
    orbit = st.train(instance, steps=20_000, optimizer=st.SGD(damping=damping))
    orbit.plot(ax)
    ax.set_title(f"θ = {damping:g}: {orbit.verdict}", loc="left", fontsize=11, pad=24)
    ax.set_xlim(0, 20_000)
st.plot.save_figure(figure, sys.argv[1])
