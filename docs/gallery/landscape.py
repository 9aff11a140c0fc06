"""All 4,096 states of a small data set: the loss against the distance to the teacher, and what absorbs."""

import sys

from matplotlib.figure import Figure

import sterling as st
from sterling.plot import style
from sterling.plot.landscape import plot_landscape

found = st.landscape(st.Problem(n=12, samples=30).draw(seed=3))

figure = Figure(figsize=(7, 4.4), layout="constrained")
plot_landscape(figure.subplots(), found)
style.save_figure(figure, sys.argv[1])
