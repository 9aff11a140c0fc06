"""What readers are told who cannot see a figure: read off what was drawn."""

import numpy as np
from matplotlib.figure import Figure

from sterling.plot.curves import dots
from sterling.report.described import described


def axes():
    return Figure().subplots()


def test_axes_and_few_points_are_told():
    ax = axes()
    ax.errorbar([10, 100], [0.25, 0.5], [0.1, 0.1], label="measured")
    ax.set_xscale("log")
    ax.set_xlabel("samples N")
    ax.set_ylabel("share")
    assert described(ax.figure) == "share against samples N (logarithmic); measured: 0.25 at 10, 0.5 at 100."


def test_many_points_are_told_by_their_ends_and_range():
    ax = axes()
    ax.plot(np.arange(101), np.abs(np.arange(101) - 50), label="fold")
    assert "fold: 101 points from 50 at 0 to 50 at 100, between 0 and 50" in described(ax.figure)


def test_rows_go_by_their_names():
    ax = axes()
    table = np.array([[0.5, 0.4, 0.6], [0.75, 0.7, 0.8]])
    dots(ax, ["relu", "identity"], {"measured": table, "predicted": table / 2}, "occupancy")
    told = described(ax.figure)
    assert "measured: relu 0.5, identity 0.75" in told
    assert "predicted: relu 0.25, identity 0.375" in told


def test_bars_lying_and_standing():
    for draw in ("bar", "barh"):
        ax = axes()
        getattr(ax, draw)([1, 2], [0.2, 0.8], label="trapped")
        told = described(ax.figure)
        assert ("0.2 at 1, 0.8 at 2" if draw == "bar" else "1 at 0.2, 2 at 0.8") in told


def test_a_drawing_can_tell_about_itself():
    ax = axes()
    ax.barh([1], [0.5], label="trapped")
    ax.set_xlabel("n")
    ax.set_label("n = 8: trapped 50 %")
    assert described(ax.figure) == "n; n = 8: trapped 50 %."


def test_what_has_no_legend_is_told_too():
    ax = axes()
    ax.plot([1, 2], [3, 4])
    ax.text(0, 0, "flips were not recorded")
    assert "3 at 1, 4 at 2; flips were not recorded." in described(ax.figure)
    ax = axes()
    ax.imshow(np.eye(3))
    assert "map of colours" in described(ax.figure)
