"""Certificates beside runs: no run is below its bound, and one that were would be seen."""

import polars as pl
import pytest

from sterling.claims import proofs
from sterling.claims.context import Context


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    budget = proofs.ProofsBudget(places=((5, 40), (6, 600)), instances=6, starts=2, steps=200)
    return proofs.prove(Context(tmp_path_factory.mktemp("proofs"), threads=1), budget, noise=0.5)


def test_no_run_is_below_its_bound_however_short(found):
    certificates, runs = found
    assert proofs.below(runs) == 0
    assert len(runs) == 2 * 6 * 3 * 5
    assert certificates.filter(pl.col("samples") == 600)["proved"].all()
    # Runs of 200 steps are where the term is needed: some are below the bound of the long run.
    assert (runs["mass_occupancy"] < runs["bound"]).any()


def test_a_run_below_its_bound_is_counted(found):
    _, runs = found
    lowered = runs.with_columns(term=pl.lit(0.0))
    assert proofs.below(lowered) == int((runs["mass_occupancy"] < runs["bound"] - proofs.ROUNDING).sum()) > 0


def test_the_term_of_a_finite_run_is_that_of_the_balance(found):
    certificates, _ = found
    certificate = certificates.filter((pl.col("n") == 6) & (pl.col("trial") == 3)).row(0, named=True)
    made = pl.DataFrame(
        {
            **{name: [certificate[name]] for name in ("n", "samples", "trial")},
            "schedule": "x",
            "start": 0,
            "verdict": "RECURRENT",
            "mass": 50.0,
            "mass_occupancy": 0.5,
            "largest_step": 0.3,
            "start_latent": [[0.5, -0.4, 0.3, 0.2, -0.1, 0.0]],
        }
    )
    term = proofs.with_bounds(made, certificates)["term"].item()
    by_hand = sum(
        dual * (abs(start) + 0.3 * certificate["steepest"])
        for dual, start in zip(certificate["duals"], made["start_latent"][0], strict=True)
    )
    assert term == pytest.approx(by_hand / 50)
