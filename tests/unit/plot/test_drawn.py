"""`plot` of results: every picture of every class, what it returns, and its look in one column of a paper."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

import sterling as st
from sterling.study import SeriesFit, Store, Study, fit_store, run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    noisy = st.Problem(n=6, samples=200, noise=0.5).draw(seed=0)
    study = Study(n=[6, 12], samples=[8, 16, 32], trials=8, steps=500)
    folder = tmp_path_factory.mktemp("study")
    run(study, folder)
    found = [st.train(noisy, steps=2000), st.landscape(noisy), st.certify(noisy)]
    return {type(one): one for one in (*found, study, Store(folder), fit_store(folder)[0])}


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


def test_without_axes_pyplot_makes_a_figure(results):
    from matplotlib import pyplot

    ax = results[st.Orbit].plot()
    assert ax.figure is pyplot.gcf()
    assert ax.get_ylabel() == results[st.Orbit].plot(what="errors_over_time").get_ylabel()
    pyplot.close("all")


def test_the_column_ends_with_its_block():
    before = dict(mpl.rcParams)
    with st.plot.column(width=3.0, height=2.0):
        assert mpl.rcParams["figure.figsize"] == [3.0, 2.0]
    assert dict(mpl.rcParams) == before


def test_an_unknown_picture_is_refused(results):
    with pytest.raises(st.InputError, match="flip_raster"):
        results[st.Orbit].plot(what="flip_rasters")


def test_an_empty_store_has_nothing_to_draw(tmp_path):
    with pytest.raises(st.InputError, match="run the study"):
        Store(tmp_path / "new", Study(n=6, samples=8, trials=2)).plot()
