"""Tables of the evidence, from the trials in the folder of stores.

Arms without a trial come from the tables in the folder of results, so that a part can be repeated without the
rest. An arm with trials replaces the kept arm of the same task, net and levels.

All comparisons pair runs with the same split, wrong labels, latents and batches. A gain is the difference to
the last iterate at a constant rate, in points of test accuracy and in nats of test loss, with Student's
interval over the seeds. The share of the gap that decoding closes is the sum over the seeds of decoded − last
over that of annealed − last, with an interval from resampled seeds of cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.papers.qat import evidence, figures
from benchmarks.papers.qat.pairs import CELL, differences
from benchmarks.papers.qat.trial import REMEDIES
from sterling.base.files import write_atomically
from sterling.errors import InputError
from sterling.stats import Interval, mean_interval

#: Judged at the end of the run; the bars were fixed before these seeds were drawn.
LEAST_SHARE, LEAST_LOW = 0.6, 0.4
MOST_POINTS, MOST_NATS = 0.3, 0.01


def write(out: Path, results: Path) -> None:
    """Write tables and figures, and print the verdicts."""
    results.mkdir(parents=True, exist_ok=True)
    scores = all_scores(out, results / "scores.parquet")
    gained = gains(scores)
    tables = {
        "scores": scores,
        "gains": gained,
        "shares": shares(scores),
        "bridge": layers(out, results / "bridge.csv"),
    }
    write_atomically(results / "scores.parquet", scores.write_parquet)
    for name, frame in tables.items():
        if name == "scores":
            continue
        write_atomically(
            results / f"{name}.csv", lambda file, it=frame: it.write_csv(file, float_precision=5)
        )
    figures.draw(tables, results)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=40, float_precision=3):
        print(tables["shares"])
        print(gained.filter(pl.col("reading") == "mean"))
    write_atomically(results / "advice.txt", advice(scores).encode())
    said = "\n".join(f"- {line}" for line in verdicts(tables))
    write_atomically(results / "verdicts.txt", f"{said}\n".encode())
    print(said)


def all_scores(out: Path, kept: Path) -> pl.DataFrame:
    """Return a row for each net that was scored: cell, seed, arm (how it was trained), reading, step."""
    own = [scores_of(evidence.rows(part, out)) for part in ("runs", "remedies") if (out / part).exists()]
    scores = with_kept(own, kept, ("task", "net", "levels", "arm")).sort(
        *CELL, "arm", "seed", "step", "reading"
    )
    strengths = scores.group_by("task", "net", "arm").agg(pl.col("strength").unique().sort())
    for task, net, arm, found in strengths.sort("task", "net", "arm").iter_rows():
        if len(found) > 1:
            raise InputError(f"{arm} on {task}, {net}, has runs of strengths {found}: run all with one")
    return scores


def scores_of(trials: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each net of some trials."""
    lists = ["reading", "step", "loss", "accuracy"]
    arm = pl.when(pl.col("remedy") == "none").then("decay").otherwise("remedy")
    named = trials.rename({"trial": "seed"}).with_columns(arm=arm)
    return named.select(*CELL, "arm", "strength", "seed", *lists).explode(lists)


def with_kept(own: list[pl.DataFrame], kept: Path, key: Sequence[str]) -> pl.DataFrame:
    """Return own rows, and the kept ones that share their key with none of them."""
    if kept.exists():
        old = pl.read_parquet(kept) if kept.suffix == ".parquet" else pl.read_csv(kept)
        for one in own:
            old = old.join(one, on=key, how="anti")
        own = [*own, old.select(own[0].columns) if own else old]
    if not own:
        raise InputError(f"no trial was run, and there is no {kept}")
    return pl.concat(own, how="vertical_relaxed")


def gains(scores: pl.DataFrame) -> pl.DataFrame:
    """Return the gain of each reading of each arm over the last iterate at a constant rate, at the end."""
    itself = (pl.col("arm") == "constant") & (pl.col("reading") == "last")
    return _means(differences(scores).filter(~itself))


#: The situations of the table "Should I decode?": name, training, data, and whether gains are in points.
SITUATIONS = (
    ("text after a cosine", "cosine", pl.col("task") == "text"),
    ("images after a cosine", "cosine", pl.col("task") != "text"),
    ("images with clean labels", "constant", (pl.col("task") != "text") & (pl.col("noise") == 0)),
    ("images with wrong labels", "constant", (pl.col("task") != "text") & (pl.col("noise") > 0)),
    ("text", "constant", pl.col("task") == "text"),
)
ANSWERS = ("no", "perhaps", "yes")


def advice(scores: pl.DataFrame) -> str:
    """Return the table "Should I decode?" in Markdown, negative answers first.

    Yes: the interval of the gain over the last iterate of the same run is above zero, for binary and ternary
    nets. No: for neither. The annealed copy takes equal steps.
    """
    pairs, lines = differences(scores, own=True), []
    for name, arm, where in SITUATIONS:
        unit = "nats" if name.startswith("text") else "points"
        own, cells, shown = pairs.filter(where & (pl.col("arm") == arm)), [], []
        for reading, levels in (("mean", 2), ("mean", 3), ("annealed", 2), ("annealed", 3)):
            group = own.filter((pl.col("reading") == reading) & (pl.col("levels") == levels))
            if group.is_empty():  # after a cosine nothing is left to anneal
                cells.append("–")
                continue
            gain, low, high = mean_interval(group[unit])
            cells.append(f"{gain:+.2f} ({low:.2f} to {high:.2f})")
            if reading == "mean":
                shown.append(low > 0)
        answer = "yes" if all(shown) else "perhaps" if any(shown) else "no"
        lines.append((ANSWERS.index(answer), f"| {name} ({unit}) | {' | '.join(cells)} | {answer} |"))
    head = ["training", "decoded, binary", "decoded, ternary", "annealed, binary", "annealed, ternary"]
    rows = [line for _, line in sorted(lines, key=lambda one: one[0])]
    return "\n".join([f"| {' | '.join(head)} | decode? |", "|---|---|---|---|---|---|", *rows]) + "\n"


def changes(scores: pl.DataFrame) -> pl.DataFrame:
    """Return the gain of decoding over the last iterate of the same run."""
    return _means(differences(scores, own=True).filter(pl.col("reading") == "mean"))


def _means(pairs: pl.DataFrame) -> pl.DataFrame:
    key = (*CELL, "arm", "reading")
    return pl.DataFrame(
        {
            **dict(zip(key, values, strict=True)),
            "seeds": len(group),
            "accuracy": group["accuracy"].mean(),
            **_interval("points", mean_interval(group["points"])),
            **_interval("nats", mean_interval(group["nats"])),
        }
        for values, group in pairs.group_by(*key, maintain_order=True)
    )


def shares(scores: pl.DataFrame) -> pl.DataFrame:
    """Return the share of the gap that decoding closes, along the run: text by loss, images by accuracy."""
    run = scores.filter((pl.col("arm") == "constant") & pl.col("reading").is_in(["last", "mean", "annealed"]))
    value = pl.when(pl.col("task") == "text").then(-pl.col("loss")).otherwise(100 * pl.col("accuracy"))
    wide = run.with_columns(value=value).pivot("reading", index=[*CELL, "seed", "step"], values="value")
    wide = wide.with_columns(
        group=pl.when(pl.col("task") == "text")
        .then(pl.lit("text"))
        .otherwise(
            pl.when(pl.col("noise") > 0)
            .then(pl.lit("images, wrong labels"))
            .otherwise(pl.lit("images, clean"))
        ),
        part=(pl.col("step") / pl.col("step").max().over("task")),
    ).drop_nulls()
    rows = []
    for (group, levels, part), found in wide.group_by("group", "levels", "part", maintain_order=True):
        gap = (found["annealed"] - found["last"]).to_numpy()
        closed = (found["mean"] - found["last"]).to_numpy()
        rows.append(
            {
                "group": group,
                "levels": levels,
                "part": part,
                "runs": len(found),
                **_interval("gap", mean_interval(gap)),
                **_interval("closed", mean_interval(closed)),
                **_interval("share", ratio(closed, gap) if gap_shown(gap) else (None,) * 3),
            }
        )
    return pl.DataFrame(rows).sort("group", "levels", "part")


def gap_shown(gap: np.ndarray) -> bool:
    """Return whether the annealed nets are better than the last iterates, by the interval of the mean."""
    return mean_interval(gap)[1] > 0


def bootstrap_counts(count: int) -> np.ndarray:
    """Return how often each of ``count`` draws is in each of 4000 resamples, int64 (4000, count)."""
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), 4000)


def percentiles(resampled: np.ndarray, value: float) -> Interval:
    """Return a value with the 95 % percentile interval of its resamples; those that are NaN are left out."""
    low, high = np.nanquantile(resampled, [(1 - 0.95) / 2, 1 - (1 - 0.95) / 2])
    return float(value), float(low), float(high)


def ratio(upper: np.ndarray, lower: np.ndarray) -> Interval:
    """Return the ratio of two means of paired values, with percentiles of resampled pairs."""
    counts = bootstrap_counts(len(upper))
    below = counts @ lower
    resampled = np.divide(counts @ upper, below, out=np.full(len(counts), np.nan), where=below > 0)
    return percentiles(resampled, float(upper.sum() / lower.sum()))


def layers(out: Path, kept: Path) -> pl.DataFrame:
    """Return predicted and measured shares of undecided weights, a row for each layer of a run."""
    own = []
    if (out / "runs").exists():
        names = ("tensor", "weights", "open", "predicted")
        trials = evidence.rows("runs", out).filter(pl.col("predicted").list.len() > 0)
        own = [trials.select(*CELL, *names, seed="trial").explode(names)]
    return with_kept(own, kept, ("task", "net", "levels"))


def agreement(bridge: pl.DataFrame, task: Iterable[str]) -> tuple[Interval, float]:
    """Return the rank correlation over the layers within runs, and the share of pairs in the right order."""
    own = bridge.filter(pl.col("task").is_in(list(task)))
    run = (*CELL, "seed")
    ranks = own.with_columns(
        a=pl.col("open").rank().over(run) / pl.len().over(run),
        b=pl.col("predicted").rank().over(run) / pl.len().over(run),
        run=pl.struct(run).rank("dense"),
    )
    right = total = 0
    for _, group in own.group_by(run):
        a, b = group["open"].to_numpy(), group["predicted"].to_numpy()
        signs = np.sign(a[:, None] - a) * np.sign(b[:, None] - b)
        above = signs[np.triu_indices(len(a), 1)]
        right, total = right + int((above > 0).sum()), total + int((above != 0).sum())
    return clustered_correlation(ranks["a"], ranks["b"], ranks["run"]), right / max(total, 1)


def verdicts(tables: dict[str, pl.DataFrame]) -> list[str]:
    """Return a sentence for each bar."""
    said = []
    for row in tables["shares"].filter(pl.col("part") == 1).iter_rows(named=True):
        said.append(f"{row['group']}, {row['levels']} levels: ")
        if row["share"] is None:
            said[-1] += "the annealed net is not better than the last iterate, there is no gap to close"
            continue
        held = row["share"] >= LEAST_SHARE and row["share_low"] > LEAST_LOW
        said[-1] += (
            f"decoding closes {row['share']:.2f} ({row['share_low']:.2f} to {row['share_high']:.2f}) "
            f"of the gap: the bar {'holds' if held else 'is missed'}"
        )
    mean = tables["gains"].filter((pl.col("reading") == "mean") & (pl.col("arm") == "constant"))
    noisy = mean.filter((pl.col("noise") > 0) & (pl.col("task") != "text"))
    above = noisy.filter(pl.col("points_low") > 0).height
    said.append(
        f"under wrong labels decoding is above last in {above} of {noisy.height} cells, by its interval"
    )
    ends = differences(tables["scores"]).filter(
        (pl.col("arm") == "constant") & (pl.col("reading") == "mean") & (pl.col("noise") > 0)
    )
    for (task, noise), group in ends.group_by("task", "noise", maintain_order=True):
        gain, low, high = mean_interval(group["points"])
        said.append(
            f"{task}, {noise:.0%} wrong: decoding gains {gain:.1f} points ({low:.1f} to {high:.1f}) over last"
        )
    own = changes(tables["scores"])
    worse = own.filter((pl.col("points_high") < 0) | (pl.col("nats_high") < 0))
    much = own.filter((pl.col("points_high") < -MOST_POINTS) | (pl.col("nats_high") < -MOST_NATS))
    said.append(
        f"decoding is worse than the last iterate of the same run in {worse.height} of {own.height} cells by "
        f"its interval, in accuracy or in loss, {worse.filter(pl.col('arm') != 'constant').height} of them "
        f"after cosines; by more than {MOST_POINTS} points or {MOST_NATS} nats beyond its interval in "
        f"{much.height}"
    )
    text = differences(tables["scores"]).filter(pl.col("task") == "text")
    decoded = text.filter((pl.col("arm") == "constant") & (pl.col("reading") == "mean"))
    run = [*CELL, "seed"]
    remedied = text.filter(pl.col("arm").is_in(REMEDIES)).join(
        decoded.select(*run, "nats"), on=run, suffix="_decoded"
    )
    for (levels,), group in remedied.sort("levels").group_by("levels", maintain_order=True):
        parts = []
        for (arm,), pairs in group.sort("arm").group_by("arm", maintain_order=True):
            gain, low, high = mean_interval((pairs["nats"] - pairs["nats_decoded"]).to_numpy())
            parts.append(f"{arm.replace('_', ' ')} {gain:.3f} ({low:.3f} to {high:.3f})")
        said.append(f"text, {levels} levels, remedies over decoding in nats: {', '.join(parts)}")
    for group in (("digits", "mnist"), ("text",)):
        (value, low, high), share = agreement(tables["bridge"], group)
        said.append(
            f"bridge, {' and '.join(group)}: rank correlation over layers {value:.2f} "
            f"({low:.2f} to {high:.2f}), {share:.0%} of the pairs in order"
        )
    return said


def _interval(name: str, interval: Interval | tuple[None, ...]) -> dict[str, float | None]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), interval, strict=True))


def clustered_correlation(x: np.ndarray, y: np.ndarray, cluster: np.ndarray) -> Interval:
    """Return the correlation of values that come in clusters, and its bootstrap interval over whole clusters.

    The ends are NaN for fewer than three clusters, and all numbers are NaN if a value does not vary.
    """
    x, y, cluster = np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(cluster)
    members = (cluster[:, None] == np.unique(cluster)).astype(float)
    sums = members.T @ np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])
    whole = float(_correlation(sums.sum(0)))
    if len(sums) < 3 or math.isnan(whole):
        return whole, math.nan, math.nan
    return percentiles(_correlation(bootstrap_counts(len(sums)) @ sums), whole)


def _correlation(sums: np.ndarray) -> np.ndarray:
    """Return correlations from sums of 1, x, y, x², y² and x·y along the last axis."""
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (xy - x * y / count) / np.sqrt((xx - x * x / count) * (yy - y * y / count))
