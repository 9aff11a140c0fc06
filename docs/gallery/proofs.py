"""What a certificate proves, beside what runs do: the share of time at the teacher, and each weight alone."""

import sys

import numpy as np
from matplotlib.figure import Figure

import sterling as st
from sterling.plot import style

figure = Figure(figsize=(9, 4), layout="constrained")
left, right = figure.subplots(1, 2)

for size, colour in ((400, style.BLUE), (900, style.VERMILLION), (3200, style.GREEN)):
    pairs = []
    for seed in range(10):
        instance = st.Problem(n=10, samples=size, noise=0.5).draw(seed=seed)
        orbit = st.train(instance, steps=200_000, record=())
        pairs.append((st.certify(instance).occupancy, orbit.occupancy))
    left.plot(*np.transpose(pairs), "o", ms=5, mfc="none", color=colour, label=f"N = {size:,}")
left.plot([0, 1], [0, 1], color=style.GREY, lw=1)
labels = {"xlabel": "proved: at least (share of the mass)", "ylabel": "in a run (share of the steps)"}
style.tidy(left, "lower right", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), **labels)
left.set_title("share of the time at the teacher", loc="left", fontsize=11)

instance = st.Problem(n=10, samples=900, noise=0.5).draw(seed=0)
proof, orbit = st.certify(instance), st.train(instance, steps=1_000_000)
order = np.argsort(-proof.wrong_share)
right.bar(range(10), proof.wrong_share[order], color=style.VERMILLION, alpha=0.35, label="proved: at most")
right.plot(range(10), orbit.wrong_share[order], "o", color=style.BLUE, label="in a run")
right.set_xticks(range(10), [str(k) for k in order])
style.tidy(right, xlabel="weight", ylabel="share of the time in which it is wrong")
right.set_title("each weight of one data set, N = 900", loc="left", fontsize=11)
style.save_figure(figure, sys.argv[1])
