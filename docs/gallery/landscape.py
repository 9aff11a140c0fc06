"""All 4,096 states of a small data set: the loss against the distance to the teacher, and what absorbs."""

import sys

from matplotlib.figure import Figure

import sterling as st
from sterling.plot import style
from sterling.plot.landscape import loss_by_distance

found = st.landscape(st.Problem(n=12, samples=30).draw(seed=3))

figure = Figure(figsize=(7, 4.4), layout="constrained")
loss_by_distance(figure.subplots(), found)
style.save_figure(figure, sys.argv[1])
