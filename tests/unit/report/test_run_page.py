"""The page of a run: complete in itself, escaped, and with sentences where there is nothing to draw."""

import re

import pytest

import sterling as st
from sterling.report.run_page import run_page
from tests.findings import sketch
from tests.unit.report.test_page import Reader


def drawings(text):
    """Return the labels of the drawings of a page that loads nothing and runs one script."""
    reader = Reader(text)
    for _, attributes in reader.elements:
        loads = [attributes.get(name) for name in ("src", "href", "xlink:href", "srcset", "data")]
        assert all(link.startswith(("data:", "#")) for link in loads if link), loads
    assert len(reader.all("script")) == 1
    labels = [one.get("aria-label", "") for one in reader.all("svg") if one.get("role") == "img"]
    assert all(len(label) > 20 for label in labels)
    return labels


@pytest.fixture(scope="module")
def noisy():
    return st.Problem(n=8, samples=150, noise=0.5).draw(0)


@pytest.fixture(autouse=True)
def sketched(monkeypatch):
    """Tests of the command line and of layout draw the figures."""
    monkeypatch.setattr("sterling.report.run_page.render", sketch)


def test_a_recurrent_run_of_four_levels():
    orbit = st.train(instance := st.Problem(n=8, samples=300, noise=0.5, levels=4).draw(0), 20_000)
    text = run_page(orbit, instance, "sterling train --n 8 & <x>")
    assert len(drawings(text)) == 4
    assert f"{orbit.visits:,}" in text
    assert f"in the long run {orbit.recurrence().long_run.percent.text}" in text
    assert "sterling train --n 8 &amp; &lt;x&gt;" in text
    table = text[text.index('id="weights"') :].partition("</table>")[0]
    signs = [orbit.signs, orbit.ergodic_signs, orbit.reference]
    shown = [f"{sign:+d}".replace("-", "−") for row in zip(*signs, strict=True) for sign in row]
    assert re.findall("<td[^>]*>([+−][13])</td>", table) == shown


def test_what_cannot_be_drawn_is_left_out(noisy):
    """Without returns, without records."""
    clean = st.Problem(n=8, samples=400).draw(0)
    text = run_page(st.train(clean, 5000), clean)
    assert len(drawings(text)) == 4
    assert 'id="statistics"' not in text
    assert len(drawings(run_page(st.train(noisy, 500, record=()), noisy))) == 0


def test_ones_own_data_show_the_labels_that_are_right_beside_the_commonest_label(noisy):
    """The page says nothing of visits, which nobody asks about data without a teacher."""
    labels = (noisy.labels > 0.5).astype(float)
    own = st.Instance(noisy.inputs, labels, origin={"file": "<b>&x.npz"})
    orbit = st.train(own, 20_000)
    text = run_page(orbit, own)
    assert len(drawings(text)) == 4
    right = int((own.predict(orbit.ergodic_signs) == labels).sum())
    most = max(int(labels.sum()), int((1 - labels).sum()))
    assert f'<th scope="row">labels right, time average</th><td>{right} of 150</td>' in text
    assert re.search(rf"labels right, always [01] \(commonest label\)</th><td>{most} of 150</td>", text)
    assert "<b>&x" not in text
    assert "&lt;b&gt;&amp;x" in text
    assert 'id="statistics"' not in text
    main = re.sub('<(svg|script|style|p class="lead").*?</\\1>', "", text, flags=re.S).partition("<main")[2]
    assert "visit" not in main
