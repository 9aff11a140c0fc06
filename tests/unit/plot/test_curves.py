"""Pictures that claims and comparisons share."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from sterling.plot.curves import set_aside


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_series_set_aside_keep_their_data_and_the_axes(scale):
    limits = []
    for aside in (False, True):
        figure = Figure()
        ax = figure.subplots()
        for place in range(3):
            drawn = ax.errorbar([10, 1000], [0.2, 0.9], [0.1, 0.1])
            if aside:
                set_aside(ax, drawn.get_children(), place, 3)
        ax.set_xscale(scale)
        figure.canvas.draw()
        limits.append((*ax.get_xlim(), *ax.get_ylim()))
        shown = [line.get_transform().transform(line.get_xydata())[0, 0] for line in ax.lines]
        assert len(set(np.round(shown, 6))) == (3 if aside else 1)
        assert {tuple(line.get_xdata()) for line in ax.lines} == {(10, 1000)}
    np.testing.assert_allclose(limits[0], limits[1])
