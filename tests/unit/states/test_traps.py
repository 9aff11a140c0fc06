"""Whether a data set is trap free: the early end answers as the whole landscape does."""

import pytest

import sterling as st
from sterling.states import sweep
from sterling.states.landscape import trap_free


@pytest.mark.parametrize("surrogate", ["relu", "identity", "hard_tanh"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_early_end_answers_as_the_whole_landscape_does(surrogate, threads):
    answers = []
    for seed in range(12):
        instance = st.Problem(8, 6 + seed, 1 + seed % 2, 0.1 * (seed % 3)).draw(seed)
        answers.append(trap_free(instance, surrogate, threads=threads))
        assert answers[-1] == st.landscape(instance, surrogate).trap_free
    assert {True, False} == set(answers)


def test_it_ends_at_the_first_trap(monkeypatch):
    seen = []
    instance = st.Problem(n=18, samples=4).draw(0)
    assert not trap_free(instance, threads=1, progress=seen.append)
    assert seen[-1].done < seen[-1].total == 1 << 18
    assert sweep._Visit(instance, st.SURROGATES["relu"], None, home=0).kept == 0


@pytest.mark.parametrize(
    "instance, surrogate, words",
    [
        (st.Problem(n=25, samples=3).draw(0), "relu", "n may be at most 24"),
        (st.Problem(n=4, samples=30).draw(0), "sigmoid", "sigmoid is smooth"),
        (st.Instance([[1.0, -1.0], [0.5, 2.0]], [0, 1]), "relu", "no teacher"),
    ],
)
def test_what_has_no_answer_is_refused(instance, surrogate, words):
    with pytest.raises(st.InputError, match=words):
        trap_free(instance, surrogate)
