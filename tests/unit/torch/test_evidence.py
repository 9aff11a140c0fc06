"""The evidence: a trial gives the same row twice, and the tables say what the scores say."""

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch", reason="the evidence trains nets")

import sterling as st  # noqa: E402
from benchmarks.qat import evidence, figures, summary  # noqa: E402
from benchmarks.qat.trial import KIND, Annealed, Run  # noqa: E402
from sterling.errors import InputError  # noqa: E402
from sterling.study.kind import Cell, Seeds  # noqa: E402


@pytest.fixture(autouse=True)
def known():
    threads = torch.get_num_threads()
    st.register(KIND)
    yield
    torch.set_num_threads(threads)


def cell(**settings):
    settings = {"task": "digits", "net": "mlp", "rate": 0.01, "steps": 40, **settings}
    return Cell("torch", st.Problem(n=64, samples=1000, noise=0.2), settings)


def row_of(seed, **settings):
    return dict(KIND.run(cell(**settings), Seeds(seed, 0), lambda *_: None))


def at_the_end(row):
    return [
        loss
        for name, step, loss in zip(row["reading"], row["step"], row["loss"], strict=True)
        if (name, step) == ("last", 40)
    ]


def test_a_trial_gives_the_same_row_twice_and_its_seed_decides():
    first, again, other = row_of(1), row_of(1), row_of(2)
    assert first == again
    assert first["loss"] != other["loss"]
    read = set(zip(first["reading"], first["step"], strict=True))
    assert {("last", 10), ("annealed", 20), ("mean", 40), ("best_checkpoint", 40)} <= read
    assert len(first["predicted"]) == len(first["tensor"]) == 3


@pytest.mark.parametrize("remedy", ["freezing", "dampening", "transition_rate", "qema", "parq", "bop"])
def test_remedies_train(remedy):
    if remedy == "parq":
        pytest.importorskip("torchao", reason="PARQ is in torchao")
    strength = {"qema": 0.9, "bop": 1e-6, "parq": 10.0}.get(remedy, 1e-3)
    found = row_of(3, remedy=remedy, strength=strength)
    plain = row_of(3)
    assert found["reading"] == ["last"]
    assert found["accuracy"][0] > 0.2  # chance is a tenth
    assert found["loss"] != at_the_end(plain)  # it does something


def test_the_rates_of_a_run_and_of_an_annealed_copy():
    run = Run(cell(decay="cosine"), Seeds(1, 0))
    assert run.rate(0) == 0.01  # a warm-up of one step
    assert run.rate(20, "cosine") == pytest.approx(0.005)
    assert run.rate(39) == 0.01
    run.quantise()
    optimizer = torch.optim.Adam(run.model.parameters(), lr=0.01)
    annealed = Annealed(run, optimizer, 30, 40)
    rates = []
    for step, batch in zip(range(30, 40), run.batches(), strict=False):
        annealed.step(step, batch)
        rates.append(annealed.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, 0.01 * np.linspace(1, 0.1, 10))


def test_wrong_labels_are_in_training_and_validation_only():
    run = Run(cell(), Seeds(1, 0))
    clean = Run(Cell("torch", st.Problem(n=64, samples=1000), dict(cell().settings)), Seeds(1, 0))
    for part, share in (("train", 0.18), ("valid", 0.18), ("test", 0)):  # a tenth is right by chance
        wrong = (getattr(run.data, part)[1] != getattr(clean.data, part)[1]).double().mean()
        assert float(wrong) == pytest.approx(share, abs=0.05)


def scores():
    """Scores of made-up runs: decoding closes three quarters of the gap, in each seed."""
    rows = []
    for seed, shift in enumerate((0.0, 0.1, 0.2, 0.3)):
        for reading, loss in (("last", 2.0), ("mean", 1.85), ("annealed", 1.8)):
            rows.append(("text", "transformer", 3, 0.0, "constant", seed, reading, 100, loss + shift, 0.5))
        rows.append(("text", "transformer", 3, 0.0, "cosine", seed, "last", 100, 1.9 + shift, 0.55))
    names = (*summary.CELL, "arm", "seed", "reading", "step", "loss", "accuracy")
    return pl.DataFrame(rows, schema=names, orient="row")


def test_shares_and_gains_are_paired():
    share = summary.shares(scores()).row(0, named=True)
    assert share["share"] == pytest.approx(0.75)
    assert share["share_low"] == pytest.approx(0.75)  # seeds shift all nets alike, so the pairs agree
    gains = summary.gains(scores())
    cosine = gains.filter(pl.col("arm") == "cosine").row(0, named=True)
    assert cosine["nats"] == pytest.approx(0.1)
    assert cosine["nats_low"] == pytest.approx(0.1)
    assert cosine["points"] == pytest.approx(5)
    assert figures.rivals(scores()).axes


def test_what_was_not_run_here_is_taken_from_the_kept_tables(tmp_path, monkeypatch):
    kept = tmp_path / "scores.parquet"
    with pytest.raises(InputError, match="no trial was run"):
        summary.all_scores(tmp_path, kept)
    known = [*summary.CELL, "arm", "strength", "seed", "reading", "step", "loss", "accuracy"]
    frozen = scores().with_columns(arm=pl.lit("freezing"), strength=0.01)
    plain = scores().with_columns(strength=0.0)
    binary = [one.with_columns(levels=pl.lit(2, pl.Int64)) for one in (plain, frozen)]
    pl.concat([plain, frozen, *binary]).select(known).write_parquet(kept)

    def run_with(strength, levels):
        trial = {"remedy": "freezing", "strength": strength, "decay": "constant", "trial": 0}
        cell = {"task": "text", "net": "transformer", "noise": 0.0}
        read = {"reading": ["last"], "step": [100], "loss": [1.0], "accuracy": [0.6]}
        trials = [cell | trial | read | {"levels": number} for number in levels]
        monkeypatch.setattr(evidence, "rows", lambda *_: pl.DataFrame(trials))
        (tmp_path / "remedies").mkdir(exist_ok=True)
        return summary.all_scores(tmp_path, kept)

    both = run_with(0.02, (2, 3))
    assert both.filter(pl.col("arm") != "freezing").height == 2 * plain.height
    assert both.filter(pl.col("arm") == "freezing").select("levels", "strength", "loss").rows() == [
        (2, 0.02, 1.0),
        (3, 0.02, 1.0),
    ]
    with pytest.raises(InputError, match=r"freezing on text, transformer, has .* strengths \[0.01, 0.02\]"):
        run_with(0.02, (2,))
    layers = pl.DataFrame([("text", "t", 2, 0.0, "a", 3, 0.1, 0.2, 0)], orient="row")
    layers.columns = [*summary.CELL, "tensor", "weights", "open", "predicted", "seed"]
    layers.write_csv(tmp_path / "bridge.csv")
    assert summary.layers(tmp_path, tmp_path / "bridge.csv").equals(layers)


def test_verdicts_follow_the_numbers():
    bridge = pl.DataFrame(
        {
            **{name: [value] * 6 for name, value in zip(summary.CELL, ("text", "t", 2, 0.0), strict=True)},
            "seed": [0, 0, 1, 1, 2, 2],
            "open": [0.1, 0.2, 0.1, 0.2, 0.1, 0.2],
            "predicted": [0.2, 0.4, 0.3, 0.4, 0.4, 0.3],
        }
    )

    def said(one):
        tables = {"scores": one, "gains": summary.gains(one), "shares": summary.shares(one), "bridge": bridge}
        return "\n".join(summary.verdicts(tables))

    good = said(scores())
    assert "closes 0.75 (0.75 to 0.75) of the gap: the bar holds" in good
    assert "in 0 of 1 cells" in good
    assert "67% of the pairs in order" in good
    assert "over decoding" not in good
    cosine = pl.col("arm") == "cosine"
    arms = scores().with_columns(arm=pl.when(cosine).then(pl.lit("dampening")).otherwise("arm"))
    assert "3 levels, remedies over decoding in nats: dampening -0.050 (-0.050 to -0.050)" in said(arms)
    mean, annealed = pl.col("reading") == "mean", pl.col("reading") == "annealed"
    poor = scores().with_columns(loss=pl.when(mean).then(pl.col("loss") + 0.2).otherwise("loss"))
    assert "the bar is missed" in said(poor)
    assert "in 1 of 1 cells" in said(poor)
    level = scores().with_columns(loss=pl.when(annealed).then(pl.col("loss") + 0.3).otherwise("loss"))
    assert "there is no gap to close" in said(level)


def test_the_parts_have_their_studies():
    remedies = evidence.studies("remedies")
    assert len(remedies) == len(evidence.NETS) * 6
    assert sum(len(study.cells) for study in evidence.studies("runs")) == 3 * 2 * 2 * 3 + 2 * 2
    assert {study.seed for study in [*evidence.studies("rates"), *evidence.studies("strengths")]} == {1}
    assert {study.seed for study in remedies} == {evidence.SEED}
