"""Paired differences between nets of the evidence: same data, latents and batches."""

from __future__ import annotations

import polars as pl

CELL = ("task", "net", "levels", "noise")


def differences(scores: pl.DataFrame, own: bool = False) -> pl.DataFrame:
    """Return each net at the end of its run, with its gains over a last iterate in points and nats.

    The last iterate is that of the same seed at a constant rate, or with ``own`` that of the same run.
    """
    ends = scores.filter(pl.col("step") == pl.col("step").max().over("task"))
    last = ends.filter(pl.col("reading") == "last")
    run = [*CELL, "seed"]
    if own:
        run.append("arm")
    else:
        last = last.filter(pl.col("arm") == "constant")
    return ends.join(last.select(*run, "loss", "accuracy"), on=run, suffix="_last").with_columns(
        points=100 * (pl.col("accuracy") - pl.col("accuracy_last")), nats=pl.col("loss_last") - pl.col("loss")
    )
