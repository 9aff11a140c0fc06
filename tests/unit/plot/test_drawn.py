"""`plot` of results: every picture of every class, what it returns, and its look in one column of a paper."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import sterling as st
from sterling.plot.curves import over_dimensions
from sterling.plot.study import PROVED, figure, phase_map, success_curves, threshold_law
from sterling.study import SeriesFit, Store, Study, fit_store, run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    run(Study(n=[6, 12], samples=[8, 16, 32, 64], trials=25, steps=800), folder)
    return Store(folder)


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def results(store):
    noisy = st.Problem(n=6, samples=200, noise=0.5).draw(seed=0)
    found = [st.train(noisy, steps=2000), st.landscape(noisy), st.certify(noisy)]
    return {type(one): one for one in (*found, store.study, store, fit_store(store)[0])}


CLASSES = (st.Orbit, st.Landscape, st.Certificate, Study, Store, SeriesFit)
PICTURES = [(one, what) for one in CLASSES for what in one._pictures[1]]


@pytest.mark.parametrize("kind, what", PICTURES, ids=lambda one: getattr(one, "__name__", one))
def test_a_picture_has_labels_and_its_caption_stays_outside(kind, what, results):
    with st.plot.column():
        ax = Figure(layout="constrained").add_subplot()
        assert results[kind].plot(ax, what) is ax
        ax.figure.canvas.draw()
        wide = ax.figure.get_tightbbox().width
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert ax.caption.endswith(".")
    assert not any("." in text.get_text() and " " in text.get_text() for text in ax.texts)
    assert wide <= 3.4 + 0.01  # inches: no label and no legend is wider than the column


def test_an_empty_store_has_nothing_to_draw(tmp_path):
    with pytest.raises(st.InputError, match="run the study"):
        Store(tmp_path / "new", Study(n=6, samples=8, trials=2)).plot()


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


def test_an_interval_without_an_upper_end_reaches_the_edge(ax):
    over_dimensions(ax, {"STE": [(8, 3.0, 0.0, np.inf), (16, 3.2, 3.0, 3.4)]}, {}, "N₅₀/n")
    (arrow,) = ax.texts
    assert (arrow.xy, arrow.xyann) == ((8.0, 1), (8.0, 3.0))
    assert arrow.xycoords == ("data", "axes fraction")
    assert ax.get_ylim()[1] < 4  # and the axis stays at the numbers


def test_a_refused_fit_is_said_in_the_picture(store, ax):
    (series,) = fit_store(store, "occupancy>=0.99999")
    assert series.refusal
    assert "no fit" in threshold_law(ax, series)
    assert len(figure(series, store.counts()).axes) == 2  # none is empty


def test_the_phase_map_has_the_shares(store, ax):
    counts = store.counts("optimal")
    assert "%" in phase_map(ax, counts)
    area = sum(bar.get_width() for container in ax.containers for bar in container)
    assert area == pytest.approx(0.92 * len(counts))
    with pytest.raises(st.InputError, match="no trials"):
        phase_map(ax, counts.head(0))
