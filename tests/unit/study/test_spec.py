"""Study files and grids: what is read, what is refused and with which words."""

import json
import tomllib

import pytest

import sterling as st
from sterling.schedules import parse_schedule
from sterling.study import Cell, Study
from sterling.study.spec import arguments


def parse_study(text):
    return Study(**arguments(text))


FULL = """
name = "a test"
seed = 7
criteria = ["optimal", "occupancy>=0.5"]

[problem]
n = [8, 16]
samples = { c = [1, 2.5], a = 1.5 }
m = [1, 2]
noise = [0.0, 0.5]
readout = ["ones", [1.0, 2.0]]
inputs = "student_t:4.5"
normalize = ["none", "whiten"]
levels = [2, 3]

[run]
steps = [1000, 2000]
schedule = ["power:0.5,0.5", "table:0.5,0.25,0.125"]
surrogate = ["relu", "identity"]
trials = 12

[stop]
target = "proportion"
width = 0.2
time = "15min"
"""


def test_a_file_says_everything_and_comes_back():
    text = FULL.replace('["ones", [1.0, 2.0]]', '"signs"')
    study = parse_study(text)
    assert (study.seed, study.trials, study.width, study.time) == (7, 12, 0.2, 900.0)
    assert [str(one) for one in study.criteria] == ["optimal", "occupancy>=0.5"]
    assert len(study.series) == 2**7
    assert len(study.cells) == 2**7 * 2 * 2
    assert parse_study(study.to_toml()) == study
    assert tomllib.loads(study.to_toml()) == study.to_dict()


def test_samples_are_absolute_or_scaled():
    assert Study(n=[4, 9], samples=[10, 20]).samples_at(9) == [10, 20]
    study = Study(n=[4, 9], samples={"c": [1, 2], "a": 1.5})
    assert study.samples_at(4) == [8, 16]
    assert study.samples_at(9) == [27, 54]
    assert Study(n=[4, 9]).samples_at(4) == []
    assert Study(n=[4, 9]).adaptive


def test_the_cell_of_a_row_is_the_cell():
    table = st.Table([0.1, 1 / 3])
    study = Study(
        n=5, samples=40, m=2, noise=0.1, readout=[1.0, -2.5], inputs="ar1:0.123456789", schedule=table
    )
    (cell,) = study.cells
    assert Cell.from_dict(json.loads(cell.text)) == cell
    assert parse_schedule(cell.settings["schedule"]) == table


PLAIN = "[problem]\nn = 4\nsamples = 3\n"


@pytest.mark.parametrize(
    "text, words",
    [
        ("x =", "valid TOML"),
        ("seed = 3", "problem.n is missing"),
        ("n = 3\n[problem]\nn = 3", "a key is 'n'"),
        ("[problem]\nn = 3\nnosie = 1", "did you mean 'noise'"),
        ('[problem]\nn = 4\nsamples = [1, "x"]', "samples is 'x'"),
        ("[problem]\nn = 8\nsamples = { c = [1e308], a = 8 }", "inf at n = 8"),
        (f"[problem]\nn = 8\nsamples = 1{'0' * 5000}", "valid TOML"),
        ("[problem]\nn = 4\nsamples = []", "empty"),
        ("[problem]\nn = [4, 4]\nsamples = 3", "n holds 4 twice"),
        ("[problem]\nn = 4", "at least two values of n"),
        (f'{PLAIN}[stop]\ntime = "soon"', "duration"),
        (f'criteria = "optmal"\n{PLAIN}', "did you mean 'optimal'"),
        (f'criteria = "occupancy>=2"\n{PLAIN}', "at most 1 and above 0"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(text, words, tmp_path):
    path = tmp_path / "some.toml"
    path.write_text(text)
    with pytest.raises(st.InputError) as caught:
        Study.from_toml(path)
    assert "some.toml" in str(caught.value)
    assert words in str(caught.value)


def test_too_many_cells_are_refused():
    with pytest.raises(st.InputError, match="more than 100,000 cells"):
        Study(n=list(range(1, 1001)), samples=list(range(1, 102)))
