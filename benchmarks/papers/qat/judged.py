"""Tables and verdicts of the study of damping, by the rule in `plan.py`."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl

import sterling as st
from benchmarks.papers.qat import plan
from sterling.base.files import write_atomically
from sterling.stats import mean_interval

RIVALS = {  # name: arm and reading
    "last iterate": ("never", "last"),
    "decoded net": ("never", "mean"),
    "EMA": ("never", "ema"),
    "annealed copy": ("annealed", "last"),
}
WHEN = {"half": "from half on", "fifth": "in the last fifth"}
#: The laboratory's rules with batches of 32, at the rates of `benchmarks.papers.optimizers`.
RULES = {
    "sgd": (st.SGD(), st.Constant(0.5)),
    "momentum": (st.SGD(momentum=0.9), st.Constant(0.05)),
    "adam": (st.Adam(), st.Constant(0.01)),
    "lion": (st.Lion(), st.Constant(0.003)),
    "sign": (st.SignSGD(), st.Constant(0.003)),
    "bop_in_pulls": (st.Bop(), None),
}
LAB_SETS, LAB_STEPS = 20, 5_000
FORETELLS, BY_CHANCE = 0.7, 0.05


def write(out: Path, results: Path) -> None:
    """Write tables and verdicts, and print the verdicts."""
    results.mkdir(parents=True, exist_ok=True)
    kept = results / "damping.parquet"
    found = plan.rows("runs", out) if (out / "damping-runs").exists() else pl.read_parquet(kept)
    if (out / "damping-runs").exists() and kept.exists():  # blocks that were not run again
        old = pl.read_parquet(kept)
        found = pl.concat([found, old.join(found, on=["task", "net", "noise", "method"], how="anti")])
    ranked = order(found)
    compared = differences(found)
    write_atomically(kept, found.write_parquet)
    for name, frame in (("damping", compared), ("order", ranked)):
        write_atomically(
            results / f"{name}.csv", lambda file, it=frame: it.write_csv(file, float_precision=5)
        )
    write_atomically(results / "damped.txt", table(compared).encode())
    said = "\n".join(f"- {line}" for line in verdicts(found, compared, ranked))
    write_atomically(results / "damping.txt", f"{said}\n".encode())
    print(said)


def differences(rows: pl.DataFrame) -> pl.DataFrame:
    """Return by how much damped nets are better than each rival, a row for each group, start and rival."""
    text = pl.col("task") == "text"
    own = rows.filter(pl.col("method") == "damping").with_columns(
        group=pl.when(text)
        .then(pl.lit("text"))
        .when(pl.col("noise") > 0)
        .then(pl.lit("images, wrong labels"))
        .otherwise(pl.lit("images, clean labels")),
        value=pl.when(text).then(-pl.col("loss")).otherwise(100 * pl.col("accuracy")),
    )
    run = ["group", "task", "net", "noise", "levels", "seed"]
    found = []
    for rival, (arm, reading) in RIVALS.items():
        theirs = own.filter((pl.col("arm") == arm) & (pl.col("reading") == reading))
        pairs = own.filter(pl.col("arm").is_in(["half", "fifth"])).join(
            theirs.select(*run, "value"), on=run, suffix="_rival"
        )
        gain = pairs.with_columns(gain=pl.col("value") - pl.col("value_rival"))
        for key, cell in gain.group_by("group", "levels", "arm", "reading", maintain_order=True):
            if len(cell) < 2:  # one run has no interval
                continue
            mean, low, high = mean_interval(cell["gain"])
            found.append((*key, rival, len(cell), cell["seed"].n_unique(), mean, low, high))
    names = ("group", "levels", "start", "reading", "rival", "runs", "seeds", "gain", "low", "high")
    return pl.DataFrame(found, schema=names, orient="row").sort("group", "levels", "start", "reading")


def table(compared: pl.DataFrame) -> str:
    """Return the gains of last iterates in Markdown: a row for each group, start and number of levels."""
    lines = [
        f"| nets, levels | start | {' | '.join(f'over {rival}' for rival in RIVALS)} |",
        "|---" * 6 + "|",
    ]
    last = compared.filter(pl.col("reading") == "last")
    for (group, start, levels), own in last.sort("group", "start", "levels").group_by(
        "group", "start", "levels", maintain_order=True
    ):
        digits = 3 if group == "text" else 1
        cells = []
        for rival in RIVALS:
            gain, low, high = own.filter(pl.col("rival") == rival).select("gain", "low", "high").row(0)
            cells.append(f"{gain:+.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
        unit = "nats" if group == "text" else "points"
        lines.append(f"| {group}, {levels} ({unit}) | {WHEN[str(start)]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def verdicts(rows: pl.DataFrame, compared: pl.DataFrame, ranked: pl.DataFrame) -> list[str]:
    """Return a sentence for each group and start, for Bop and for the order of optimisers."""
    said = []
    last = compared.filter(pl.col("reading") == "last")
    for (group, start), own in last.group_by("group", "start", maintain_order=True):
        levels = own["levels"].unique().sort().to_list()
        above = own.filter((pl.col("rival") == "last iterate") & (pl.col("low") > 0)).height
        worse = own.filter(pl.col("high") < 0)["rival"].unique().sort().to_list()
        advised = above == len(plan.LEVELS) and not worse
        said.append(
            f"{group}, damping {WHEN[str(start)]}, {own['seeds'].max()} seeds: better than the last iterate "
            f"at {above} of the {len(levels)} numbers of levels that were run, worse than "
            f"{', '.join(worse) or 'no rival'}: {'advised' if advised else 'not advised'}"
        )
    bop = rows.filter((pl.col("reading") == "last") & pl.col("method").is_in(["bop", "bop_in_pulls"]))
    for (task,), own in bop.group_by("task", maintain_order=True):
        both = own.pivot("method", index="seed", values="loss").drop_nulls()
        gain, low, high = mean_interval((both["bop"] - both["bop_in_pulls"]).to_numpy())
        better = "better" if low > 0 else "worse" if high < 0 else "not clearly different"
        said.append(
            f"{task}: Bop with thresholds in mean pulls gains {gain:.3f} ({low:.3f} to {high:.3f}) nats over "
            f"one threshold: {better}"
        )
    for reading in ("last", "mean"):
        value, chance = correlation(ranked.filter(pl.col("reading") == reading))
        held = value >= FORETELLS and chance <= BY_CHANCE
        said.append(
            f"order of {len(RULES)} optimisers, laboratory against nets, {reading}: rank correlation "
            f"{value:.2f}, reached by {chance:.0%} of all permutations: "
            f"{'foretold' if held else 'not foretold'}"
        )
    return said


def laboratory() -> dict[str, tuple[float, float]]:
    """Return the share of wrong weights of each rule: over the last half of its steps, and in the average."""
    found = {}
    for name, (optimizer, schedule) in RULES.items():
        last, mean = [], []
        for trial in range(LAB_SETS):
            instance = st.Problem(n=64, samples=640, noise=0.5).draw(np.random.SeedSequence([7, trial]))
            more = {"optimizer": optimizer, "batch": st.Batch(32), "seed": trial, "threads": 1}
            given = () if schedule is None else (schedule,)
            half = st.train(instance, LAB_STEPS // 2, *given, init=trial, record=(), **more)
            orbit = st.resume(half, instance, LAB_STEPS // 2, threads=1)
            wrong = orbit.wrong_share * orbit.steps - half.wrong_share * half.steps
            last.append(np.mean(wrong) / (orbit.steps - half.steps))
            mean.append(orbit.ergodic_errors / 64)
        found[name] = (float(np.mean(last)), float(np.mean(mean)))
    return found


def order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the loss of each optimiser in nets, and its share of wrong weights in the laboratory."""
    lab = laboratory()
    own = rows.filter(pl.col("method").is_in(list(RULES)) & pl.col("reading").is_in(["last", "mean"]))
    key = ["task", "seed", "reading"]
    ranks = own.with_columns(rank=pl.col("loss").rank().over(key))
    each = ranks.group_by("method", "reading").agg(
        pl.col("rank").mean(),
        pl.col("loss").mean(),
        pl.col("accuracy").mean(),
        seeds=pl.col("seed").n_unique(),
    )
    wrong = [lab[method][reading == "mean"] for method, reading in each["method", "reading"].iter_rows()]
    return each.with_columns(wrong_share=pl.Series(wrong)).sort("reading", "rank")


def correlation(ranked: pl.DataFrame) -> tuple[float, float]:
    """Return Spearman's correlation of the two orders, and the share of permutations that reach it."""
    lab, nets = ranked["wrong_share"].rank().to_numpy(), ranked["rank"].rank().to_numpy()
    value = float(np.corrcoef(lab, nets)[0, 1])
    orders = np.array(list(permutations(lab)))
    all_values = [float(np.corrcoef(one, nets)[0, 1]) for one in orders]
    return value, float(np.mean(np.array(all_values) >= value - 1e-12))
