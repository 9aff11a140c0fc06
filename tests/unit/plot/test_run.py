"""Pictures: the numbers behind them against a plain replay, the drawing on all kinds of runs, the files."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import sterling as st
from sterling.dynamics.history import history
from sterling.plot import run as plot
from sterling.plot import style


def noisy(n=6, samples=60, **more):
    return st.Problem(n=n, samples=samples, noise=0.5, **more).draw(seed=2)


def replay(orbit):
    """Return every iterate's distance to the reference, and the ergodic mean's after each step, by a loop."""
    signs = orbit.start_signs.astype(int).copy()
    flips, place = orbit.flips, 0
    balance = np.zeros(orbit.n)
    distances, ergodic = [], []
    for t in range(orbit.steps):
        while place < len(flips) and flips["step"][place] <= t:
            signs[flips["coordinate"][place]] = flips["sign"][place]
            place += 1
        distances.append(np.count_nonzero(signs != orbit.reference))
        balance += orbit.schedule.at(t) * signs
        ergodic.append(np.count_nonzero(np.where(balance >= 0, 1, -1) != orbit.reference))
    return np.array(distances), np.array(ergodic)


@pytest.mark.parametrize(
    "schedule",
    [st.Power(0.5, 0.5), st.Constant(0.125), st.Power(0.7, 1.0), st.Table([0.5, 0.25, 0.3])],
    ids=repr,
)
def test_history_is_what_a_replay_of_the_flips_gives(schedule):
    orbit = st.train(noisy(), 3000, schedule)
    h = history(orbit)
    distances, ergodic = replay(orbit)
    assert orbit.flips.size > 100
    assert h.edges[0] == 0
    assert h.edges[-1] == 3000
    assert 300 in h.edges
    for i, (first, stop) in enumerate(zip(h.edges[:-1], h.edges[1:], strict=True)):
        assert h.mean[i] == pytest.approx(distances[first:stop].mean(), abs=1e-12)
        assert h.low[i] == distances[first:stop].min()
        assert h.high[i] == distances[first:stop].max()
        assert first <= h.centres[i] <= stop - 1
    assert np.array_equal(h.ergodic, ergodic[h.edges[1:] - 1])


RUNS = {
    "noise": lambda: st.train(noisy(), 2000),
    "certified": lambda: st.train(st.Problem(n=30, samples=1000).draw(seed=0), 1000),
    "one weight": lambda: st.train(noisy(1, 30), 500),
    "many weights": lambda: st.train(noisy(300, 300), 100),
    "one step": lambda: st.train(noisy(), 1),
    "no flips": lambda: st.train(st.Problem(n=4, samples=50).draw(seed=0), steps=10, init=np.ones(4)),
    "no teacher": lambda: st.train(st.Instance(noisy().inputs[:, 0], noisy().labels), 2000),
    "not recorded": lambda: st.train(noisy(), 500, record=()),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", RUNS)
def test_every_kind_of_run_can_be_drawn(name):
    before = dict(mpl.rcParams)
    figure = plot.figure(RUNS[name]())
    figure.draw_without_rendering()
    assert dict(mpl.rcParams) == before
    assert [ax.get_label() for ax in figure.axes] == ["errors", "mean", "raster"]
    texts = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert "e+" not in str(texts)
    assert all(any(sentence.endswith(".") for sentence in sentences) for sentences in texts)
    assert ("no flips" in texts[2]) == (name in ("no flips", "one step"))
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert ("iterates: range" in labels) != (name in ("one step", "no flips", "not recorded"))
    assert ("flips were not recorded" in texts[0]) == (name == "not recorded")


def test_the_raster_marks_each_flip_in_its_half():
    orbit = st.train(noisy(), 400)
    counts = np.bincount(orbit.flips["coordinate"], minlength=6)
    busy = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    cells = np.geomspace(1, 401, 361)
    image = plot._raster(orbit, busy, cells)[..., 3] > 0
    expected = np.zeros_like(image)
    for flip in orbit.flips:
        row = 2 * list(busy).index(flip["coordinate"]) + (flip["sign"] < 0)
        cell = min(np.flatnonzero(cells <= flip["step"] + 1e-9)[-1], 359)
        expected[row, cell] = True
    assert np.array_equal(image, expected)


@pytest.mark.parametrize("suffix, magic", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
@pytest.mark.filterwarnings("error")
def test_figures_are_written_by_suffix(tmp_path, suffix, magic):
    """Without a warning of letters that the font lacks."""
    figure = Figure()
    figure.text(0, 0, "標籤")
    written = style.save_figure(figure, tmp_path / f"a.{suffix}")
    assert written.read_bytes().startswith(magic)
    for refused in ("a.gif", f"no/a.{suffix}"):
        with pytest.raises(st.SterlingError):
            style.save_figure(figure, tmp_path / refused)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{suffix}"]


def test_dollars_in_names_are_no_formulas():
    """Matplotlib would parse them, and fail where they do not parse."""
    data, name = noisy(), "US$_{2020$"
    instance = st.Instance(data.inputs, data.labels, origin={"file": name})
    figure = plot.figure(st.train(instance, 50))
    figure.draw_without_rendering()
    assert any(text.get_text().replace(r"\$", "$").startswith(f"{name} · ") for text in figure.texts)
