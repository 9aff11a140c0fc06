"""Pictures of a study: what is drawn is what was counted."""

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

import sterling as st
from sterling.plot.study import PROVED, phase_map, success_curves, threshold_law
from sterling.study import Store, Study, fit_store, run
from sterling.study.report import SeriesFit


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots") / "s"
    run(Study(n=[6, 12], samples=[8, 16, 32, 64], trials=25, steps=800), folder)
    return Store(folder)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_success_shows_every_cell_and_curve(store, ax):
    (series,) = fit_store(store)
    success_curves(ax, series)
    drawn = [container.lines[0].get_ydata() for container in ax.containers]
    for n, shares in zip((6, 12), drawn, strict=True):
        cells = series.cells.filter(series.cells["n"] == n).sort("samples")
        np.testing.assert_allclose(shares, cells["share"])
    assert ax.get_xscale() == "log"


def test_the_proved_orders_are_triangles_beside_the_data(store, ax):
    (series,) = fit_store(store)
    assert series.fit is not None
    assert f"{series.fit.exponent:.2f}" in threshold_law(ax, series)
    assert [text.get_text() for text in ax.texts] == list(PROVED)
    for slope, triangle in zip(PROVED.values(), ax.lines[-2:], strict=True):
        x, y = np.log(triangle.get_data())
        assert (y[2] - y[1]) / (x[1] - x[0]) == pytest.approx(slope)


def test_a_refused_fit_is_said_in_the_picture(store, ax):
    (series,) = fit_store(store, "occupancy>=0.99999")
    assert series.refusal
    assert "no fit" in threshold_law(ax, series)
    assert "No curve" in success_curves(Figure().subplots(), series)


def test_the_phase_map_has_the_shares(store, ax):
    counts = store.counts("optimal")
    assert "%" in phase_map(ax, counts)
    area = sum(bar.get_width() for container in ax.containers for bar in container)
    assert area == pytest.approx(0.92 * len(counts))
    with pytest.raises(st.InputError, match="no trials"):
        phase_map(ax, counts.head(0))


def test_eight_dimensions_have_different_marks(ax):
    """Each has its own colour and mark, and nothing is drawn half transparent."""
    rows = [(n, n, 10, 5, 0.5, 0.3, 0.7) for n in range(1, 9)]
    names = ["n", "samples", "trials", "successes", "share", "share_low", "share_high"]
    cells = pl.DataFrame(rows, names, orient="row")
    success_curves(ax, SeriesFit({}, "optimal", "absorbed", None, "too little", cells, ()))
    lines = [container.lines[0] for container in ax.containers]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 8
    assert {line.get_alpha() for line in lines} == {None}
