"""The study of damping: a trial gives the same row twice, and the tables say what the scores say."""

import numpy as np
import polars as pl
import pytest
import torch

import sterling as st
from benchmarks.qat import damped, judged, plan
from sterling.study.kind import Cell, Seeds


@pytest.fixture(autouse=True)
def known():
    threads = torch.get_num_threads()
    st.register(damped.KIND)
    yield
    torch.set_num_threads(threads)


def row_of(seed, **settings):
    settings = {"task": "digits", "net": "mlp", "rate": 0.003, "steps": 40, **settings}
    cell = Cell("damped", st.Problem(n=64, samples=1000, noise=0.2), settings)
    row = pl.DataFrame(dict(damped.KIND.run(cell, Seeds(seed, 0), lambda *_: None)))
    return {(arm, strength, reading): rest for arm, strength, reading, *rest in row.rows()}


def test_one_trunk_gives_all_arms_and_damping_ends_flips():
    first, again = (row_of(1, strengths="0.0 0.5") for _ in range(2))
    assert first == again
    starts = {("half", s, r) for s in (0.0, 0.5) for r in ("last", "mean")}
    assert {*starts, ("never", 0.0, "ema"), ("annealed", 0.0, "last")} <= set(first)
    trunk, undamped = first["never", 0.0, "last"], first["half", 0.0, "last"]
    assert undamped == trunk == first["fifth", 0.0, "last"]  # a copy takes the steps of the trunk
    assert first["half", 0.5, "last"][3] < trunk[3]


@pytest.mark.parametrize("method", damped.METHODS[1:])
def test_methods_train(method):
    more = {"sgd": {"rate": 1.0}, "bop": {"threshold": 1e-4}, "bop_in_pulls": {"threshold": 0.3}}.get(method)
    found = row_of(3, method=method, **(more or {}))
    assert found["never", 0.0, "last"][1] > 0.2  # chance is a tenth
    assert found["never", 0.0, "last"][3] > 0


def test_the_plan_runs_whole_seeds_and_knows_its_cost():
    steps = [(seeds, one.name) for seeds, one in plan.schedule("runs")]
    block = [name for _, name in steps[: steps.index((2, steps[0][1]))]]
    first = [steps.index((seeds, name)) for seeds in (1, 2, 3) for name in block]
    assert first == list(range(3 * len(block)))
    assert len(steps) == len(set(steps)) == plan.SEEDS * len({name for _, name in steps})
    assert all(one.seconds / 3 < 120 for _, one in plan.schedule("runs"))  # a trial of each number of levels


def made_up():
    rows = []
    for seed, shift in enumerate((0.0, 0.1, 0.2)):
        for levels in plan.LEVELS:
            for arm, reading, loss in (
                *(("never", "last", 2.0), ("never", "mean", 1.9), ("never", "ema", 1.9)),
                *(("annealed", "last", 1.9), ("half", "last", 2.1), ("fifth", "last", 1.8)),
            ):
                where = ("text", "transformer", 0.0, levels, seed, "damping")
                rows.append((*where, arm, reading, loss + shift + 0.01 * (seed == 1), 0.5))
        for rank, method in enumerate(judged.RULES):
            for reading in ("last", "mean"):
                rows.append(("digits", "mlp", 0.2, 2, seed, method, "never", reading, 1.0 + rank, 0.5))
        rows.append(("digits", "mlp", 0.2, 2, seed, "bop", "never", "last", 6.5 + 0.001 * seed, 0.5))
    names = ("task", "net", "noise", "levels", "seed", "method", "arm", "reading", "loss", "accuracy")
    return pl.DataFrame(rows, schema=names, orient="row")


def test_gains_are_paired_and_the_rule_decides(monkeypatch):
    rows = made_up()
    compared = judged.differences(rows)
    one = compared.filter((pl.col("start") == "fifth") & (pl.col("rival") == "decoded net")).row(
        0, named=True
    )
    assert (one["gain"], one["low"], one["high"]) == pytest.approx((0.1, 0.1, 0.1))
    assert "| text, 4 (nats) | in the last fifth | +0.200 (0.200 to 0.200) |" in judged.table(compared)
    wrong = {name: (0.1 * place, 0.1 * place) for place, name in enumerate(judged.RULES)}
    monkeypatch.setattr(judged, "laboratory", lambda: wrong)
    said = judged.verdicts(rows, compared, judged.order(rows))
    assert [line.rpartition(": ")[2] for line in said] == [
        *("advised", "not advised"),  # in the last fifth, from half on
        "better",
        *("foretold", "foretold"),
    ]


def test_the_correlation_of_ranks():
    table = pl.DataFrame({"wrong_share": [0.1, 0.3, 0.2, 0.4], "rank": [1.0, 3.0, 2.0, 4.0]})
    assert judged.correlation(table) == pytest.approx((1.0, 1 / 24))
    against = table.with_columns(rank=-pl.col("rank"))
    assert judged.correlation(against) == pytest.approx((-1.0, 1.0))


def test_the_pull_of_a_weight_is_the_change_of_its_gradient():
    latent = torch.nn.Parameter(torch.tensor([0.5, -0.5, 0.5]))
    matrix = torch.tensor([[2.0, 0.3, 0.1], [0.3, 3.0, 0.2], [0.1, 0.2, 4.0]])

    class Quadratic:
        model = None

    def loss(model, inputs, targets):
        return latent @ matrix @ latent / 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(damped, "loss_of", loss)
        (pull,) = damped._pulls(Quadratic(), [latent], (None, None), np.random.default_rng(0))
    assert pull == pytest.approx(3.0)  # the mean curvature, times the change of 2 · 0.5
