"""Should I decode? The answers for the quantisers that people use, by the rule in `people.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.papers.qat import people
from sterling.base.files import write_atomically
from sterling.stats import mean_interval

NAMES = {"ema": "EMA", "swa": "SWA", "wsd": "WSD", "cosine": "cosine", "best": "best checkpoint"}
ROWS = {
    "LSQ, 2 bits per channel, conv net on images": ("lsq2",),
    "LSQ, 4 bits per channel, conv net on images": ("lsq4",),
    "torchao, int4 / int2 in groups, text": ("int4", "int2"),
    "BitNet, ternary with int8 activations, text": ("bitnet",),
    "LoRA on an int4 base, beside it / merged, text": ("lora", "merged"),
}
ANSWERS = ("no", "perhaps", "yes")
CLOSE = 0.3  # of the size of a gain


def write(out: Path, results: Path) -> None:
    """Write the scores, the differences, the table and the verdict on flips."""
    results.mkdir(parents=True, exist_ok=True)
    kept = results / "people.parquet"
    rows = people.rows("people", out) if (out / "people").exists() else pl.read_parquet(kept)
    compared = differences(rows)
    write_atomically(kept, rows.write_parquet)
    write_atomically(results / "people.csv", lambda file: compared.write_csv(file, float_precision=5))
    for name, text in (("people", table(compared)), ("foretold", foretold(rows))):
        write_atomically(results / f"{name}.txt", text.encode())
        print(text)


def differences(rows: pl.DataFrame) -> pl.DataFrame:
    """Return by how much a net is better than another: each than the last iterate, the decoded than each."""
    found, pairs = [], [("mean", rival) for rival in NAMES]
    for name in rows["quantiser"].unique().sort():
        own = rows.filter(pl.col("quantiser") == name)
        seeds = own.pivot("reading", index="seed", values=["loss", "accuracy"]).drop_nulls()
        for net, other in [*((one, "last") for one in people.READINGS[1:]), *pairs]:
            nats = mean_interval(seeds[f"loss_{other}"] - seeds[f"loss_{net}"])
            points = mean_interval(100 * (seeds[f"accuracy_{net}"] - seeds[f"accuracy_{other}"]))
            found.append((name, len(seeds), net, other, *nats, *points))
    names = ("quantiser", "seeds", "net", "than", "nats", "nats_low", "nats_high", "points", "points_low")
    return pl.DataFrame(found, schema=[*names, "points_high"], orient="row")


def judged(compared: pl.DataFrame, name: str) -> tuple[str, list[str]]:
    """Return the answer for a quantiser, and the rivals to which decoding loses."""
    lost = (pl.col("nats_high") < 0) | (pl.col("points_high") < 0)
    won = ((pl.col("nats_low") > 0) | (pl.col("points_low") > 0)) & ~lost
    own = compared.filter((pl.col("quantiser") == name) & (pl.col("net") == "mean"))
    losses = [NAMES[one] for one in own.filter(lost & (pl.col("than") != "last"))["than"]]
    if own.filter(won & (pl.col("than") == "last")).is_empty():
        return "no", losses
    return "perhaps" if losses else "yes", losses


def table(compared: pl.DataFrame) -> str:
    """Return the table in Markdown, negative answers first. Gains are those over the last iterate."""
    lines = []
    for title, names in ROWS.items():
        cells: list[list[str]] = [[], [], [], []]
        answers = []
        for name in names:
            own = compared.filter((pl.col("quantiser") == name) & (pl.col("than") == "last"))
            mean = own.filter(pl.col("net") == "mean").row(0, named=True)
            best = own.filter(pl.col("net") != "mean").sort("nats").row(-1, named=True)
            answer, losses = judged(compared, name)
            answers.append(answer)
            cells[0].append(gain(mean, "nats", 3))
            cells[1].append(gain(mean, "points", 2))
            cells[2].append(f"{NAMES[best['net']]} {gain(best, 'nats', 3)}")
            cells[3].append(", ".join(losses) or "none")
        order = sorted(map(ANSWERS.index, answers))
        lowest = ANSWERS[order[0]]
        said = lowest if len(set(answers)) == 1 else f"{lowest} ({' / '.join(answers)})"
        shown = [" / ".join(one) for one in [*cells, [said]]]
        lines.append((order, f"| {title} | {' | '.join(shown)} |"))
    head = "| training | decoded, nats | decoded, points | best rival, nats | decoding loses to | decode? |"
    rows = [line for _, line in sorted(lines, key=lambda one: one[0])]
    return "\n".join([head, "|---" * 6 + "|", *rows]) + "\n"


def gain(row: dict, unit: str, digits: int) -> str:
    """Return a gain with its interval."""
    value, low, high = (row[f"{unit}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def foretold(rows: pl.DataFrame) -> str:
    """Return how well the codes tell the gain by annealing, in nats, where a quantiser was left out.

    The gain is fitted on the runs with other quantisers, as a linear function of the flips of a weight a step
    in the last fifth and of the share of undecided weights.
    """
    runs = rows.pivot(
        "reading", index=["quantiser", "seed", "weights", "flips", "open", "steps"], values="loss"
    )
    names, gains = runs["quantiser"].to_numpy(), (runs["last"] - runs["wsd"]).to_numpy()
    known = np.column_stack(
        [np.ones(len(runs)), runs["flips"] / (runs["weights"] * runs["steps"]), runs["open"]]
    )
    told = np.empty(len(runs))
    for name in set(names):
        own = names == name
        told[own] = known[own] @ np.linalg.lstsq(known[~own], gains[~own], rcond=None)[0]
    right = np.sign(told) == np.sign(gains)
    near = right & (abs(told - gains) <= CLOSE * abs(gains))
    return (
        f"Fitted on the other quantisers, the function has the sign of the gain by annealing in "
        f"{right.sum()} of {len(runs)} runs ({(gains > 0).sum()} gains are positive). It is within "
        f"{100 * CLOSE:g} % of the gain in {near.sum()} of them.\n"
    )
