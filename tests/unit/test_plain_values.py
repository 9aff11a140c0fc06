"""Every public object has plain values, which JSON can hold."""

from __future__ import annotations

import inspect
import json

import pytest

import sterling as st
from sterling import study, theory

EXCEPT = {"Verdict", "Store"}  # a name, and a folder


@pytest.mark.parametrize("module", [st, study], ids=["sterling", "sterling.study"])
def test_public_classes_have_to_dict(module):
    public = [getattr(module, name) for name in module.__all__ if name not in EXCEPT]
    kinds = [one for one in public if inspect.isclass(one) and not issubclass(one, Exception)]
    assert kinds
    assert [one.__name__ for one in kinds if not hasattr(one, "to_dict")] == []


def test_what_they_give_is_plain(tmp_path):
    problem = st.Problem(n=6, samples=200, noise=0.5)
    one = study.Study(n=6, samples=40, trials=3, steps=100, batch=50)
    outcome = study.run(one, tmp_path / "s", threads=1)
    assert study.status(tmp_path / "s").full_batches == 1
    assert outcome.to_dict()["finished"]
    cell = one.cells[0]
    assert study.Cell.from_dict(cell.to_dict()) == cell
    criterion = study.Study(n=6, samples=40, criteria="occupancy>=0.25").criteria[0]
    assert criterion.to_dict()["criterion"] == "occupancy>=0.25"
    balance = theory.balance(problem.draw(0))
    assert len(balance.to_dict()["wrong_share"]) == 6
    for thing in (
        outcome,
        cell,
        criterion,
        one.kind,
        study.Seeds(data=1, rest=2),
        study.COUNT,
        balance,
        problem,
        problem.draw(0),
    ):
        json.dumps(thing.to_dict())


@pytest.mark.parametrize(
    "thing",
    [
        st.Power(1 / 3, 0.5),
        st.Constant(0.1),
        st.Table([0.5, 1e-9]),
        *(st.get_surrogate(name) for name in st.SURROGATES),
        st.Surrogate("mine", window=(None, 0.5), closed=True),
        *(st.get_family(name) for name in ("gaussian", "student_t:4.5", "ar1:-0.25")),
        st.Problem(8, 20, noise=0.1, inputs="shifted:2", normalize="standard"),
    ],
    ids=repr,
)
def test_small_values_are_what_their_reprs_say(thing):
    """In the namespace of the package, without anything else."""
    names = {name: getattr(st, name) for name in st.__all__}
    assert eval(repr(thing), {"__builtins__": {}}, names) == thing
