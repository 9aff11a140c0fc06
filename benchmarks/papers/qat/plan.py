"""The plan of the study of damping: its cells in the order in which they run, and their cost.

Each block of cells runs seed by seed, so that an early stop leaves complete comparisons. Rule of judgement,
fixed before the data of these seeds:

Damping   At equal steps, with the same seed, cell and batches, the net that was damped from half of the steps
          on (or in the last fifth) is compared with four rivals: the last iterate at a constant rate, its
          decoded net (mean of the codes, default horizon), the average of all parameters (EMA of the same
          horizon) and the annealed copy. Groups are text (nats), images with clean labels and images with
          wrong labels (points), each with binary, ternary and 2-bit weights. A difference counts if Student's
          95 % interval over the runs of a group excludes zero. Damping is *advised* for a group if it beats
          the last iterate at all three numbers of levels, and loses to no rival at any.
Strength  One strength for each task and start serves all numbers of levels. It is the one with the lowest
          validation loss of the last iterate in the pilots (other seeds): on images over a binary and a
          ternary net; the pilot of the text is ternary and has 400 steps.
Bop       With thresholds in units of each tensor's mean pull it is *better* than with one threshold, if the
          interval of the difference in test loss excludes zero in favour of it.
Order     Optimisers are ranked by the share of wrong weights in the teacher model (batches of 32), and by
          test loss in nets, each at the rate of its lowest validation loss in the pilots. The order in the
          laboratory *foretells* that in nets if Spearman's correlation with the mean ranks over seeds is
          at least 0.7 and at most 5 % of all permutations reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

import sterling as st
from benchmarks.papers.qat.damped import KIND, STARTS, branches_of
from benchmarks.papers.qat.evidence import PILOT_SEED, RATES
from benchmarks.papers.qat.tasks import TASKS
from benchmarks.papers.qat.trial import DECAY
from sterling.study import Store, Study, run

SEED, FEWEST, SEEDS = 20261201, 3, 5
STEPS = {"text": 300, "mnist": 600, "digits": 600}
LEVELS = (2, 3, 4)
#: Seconds of one core for a step, and for the rest of a trial, on the machine of the evidence (measured).
COST = {"transformer": (0.07, 6.0), "mlp": (0.008, 3.0), "conv": (0.014, 4.0)}
TRIED_STRENGTHS = "0.1 0.3 1.0"
TRIED_RATES = {
    "sgd": (0.1, 0.3, 1.0, 3.0),
    "momentum": (0.03, 0.1, 0.3),
    "adam": (0.0001, 0.0003, 0.001),
    "lion": (0.0001, 0.0003, 0.001),
    "sign": (0.00003, 0.0001, 0.0003),
}
TRIED_THRESHOLDS = {"bop": (1e-5, 1e-4, 1e-3), "bop_in_pulls": (0.1, 0.3, 1.0)}


@dataclass(frozen=True)
class Planned:
    """Some cells of one task and net that differ in their settings alone."""

    task: str
    net: str
    noise: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the folder."""
        method = self.settings.get("method", "damping")
        levels = "".join(map(str, self.settings["levels"])) if "levels" in self.settings else ""
        name = f"{method}-{self.task}-{self.net}-{self.noise:g}-{levels}"
        return name.replace("_", "-").removesuffix("-")

    def study(self, trials: int, seed: int) -> Study:
        """Return the study of this many trials."""
        own = TASKS[self.task]
        settings = {"rate": RATES[self.task, self.net], "steps": STEPS[self.task], **self.settings}
        return Study(
            n=own.inputs,
            samples=[own.train],
            noise=[self.noise],
            kind="damped",
            trials=trials,
            seed=seed,
            name=self.name,
            settings={"task": self.task, "net": self.net, **settings},
        )

    @property
    def seconds(self) -> float:
        """Estimated seconds of one core for one trial of each cell."""
        step, rest = COST[self.net]
        parts = 1.0
        if "method" not in self.settings:
            parts += DECAY + sum(1 - STARTS[arm] for arm, _ in branches_of(self.settings["strengths"]))
        cells = 1
        for value in self.settings.values():
            cells *= len(value) if isinstance(value, list) else 1
        steps = self.settings.get("steps", STEPS[self.task])
        return cells * (parts * step * steps + rest)


def pilots() -> Iterator[Planned]:
    """Yield the cells that choose strengths, rates and thresholds."""
    tried = {"strengths": TRIED_STRENGTHS}
    yield Planned("mnist", "mlp", 0.2, {"levels": [2, 3], **tried})
    yield Planned("text", "transformer", 0.0, {"levels": [3], "steps": 400, **tried})
    for method, rates in TRIED_RATES.items():
        yield Planned("digits", "mlp", 0.2, {"method": method, "rate": list(rates)})
    for method, thresholds in TRIED_THRESHOLDS.items():
        yield Planned("digits", "mlp", 0.2, {"method": method, "threshold": list(thresholds)})


def on_images() -> Iterator[Planned]:
    """Yield the cells of damping on images, with right and with wrong labels."""
    for noise in (0.0, 0.4):
        yield Planned("mnist", "mlp", noise, {"levels": list(LEVELS), "strengths": STRENGTHS["mnist"]})


def on_text(*levels: int) -> Iterator[Planned]:
    """Yield the cells of damping on text, which take most of the time."""
    yield Planned("text", "transformer", 0.0, {"levels": list(levels), "strengths": STRENGTHS["text"]})


def optimised() -> Iterator[Planned]:
    """Yield the cells of the order of optimisers, and of Bop."""
    for method, value in METHODS.items():
        what = "threshold" if method in TRIED_THRESHOLDS else "rate"
        yield Planned("digits", "mlp", 0.2, {"method": method, what: value})


def convolved() -> Iterator[Planned]:
    """Yield the cells of damping in conv nets."""
    yield Planned("mnist", "conv", 0.2, {"levels": list(LEVELS), "strengths": STRENGTHS["mnist"]})


def schedule(part: str) -> Iterator[tuple[int, Planned]]:
    """Yield what runs next, with the number of seeds that each of its cells then has."""
    if part == "pilots":
        yield from ((1, one) for one in pilots())
        return
    blocks = (
        lambda: [*on_images(), *optimised()],
        lambda: on_text(2, 3),
        lambda: on_text(4),
        convolved,
    )
    for block in blocks:
        yield from ((seeds, one) for seeds in range(1, FEWEST + 1) for one in block())
    for seeds in range(FEWEST + 1, SEEDS + 1):
        yield from ((seeds, one) for block in blocks for one in block())


#: What the pilots chose (part `damping-pilots`). At the edge of what was tried are the
#: strength of text from half on, and the rates of SGD, momentum, Lion and the sign.
STRENGTHS = {"mnist": "half:0.3 fifth:0.3", "text": "half:0.1 fifth:0.3"}
METHODS = {
    "sgd": 0.1,
    "momentum": 0.03,
    "adam": 0.0003,
    "lion": 0.0001,
    "sign": 0.0003,
    "bop": 1e-4,
    "bop_in_pulls": 0.3,
}


def collect(part: str, out: Path) -> None:
    """Run a part of the plan in one process with one thread; finished trials are kept."""
    st.register(KIND)
    planned = list(schedule(part))
    minutes = [one.seconds / 60 for _, one in planned]
    print(f"{part}: {len(planned)} steps of the plan, about {sum(minutes):.0f} minutes of one core in all")
    for place, (seeds, one) in enumerate(planned, start=1):
        seed = PILOT_SEED if part == "pilots" else SEED
        run(one.study(seeds, seed), out / f"damping-{part}" / one.name, threads=1)
        left = sum(minutes[place:])
        print(f"{place}: {one.name}, seed {seeds}, is done; {left:.0f} minutes are left", flush=True)


def rows(part: str, out: Path) -> pl.DataFrame:
    """Return a row for each net that was scored."""
    st.register(KIND)
    folders = sorted((out / f"damping-{part}").iterdir())
    trials = pl.concat([Store(folder).trials() for folder in folders], how="diagonal_relaxed")
    key = ["task", "net", "levels", "noise", "method", "rate", "threshold", "steps", "seconds"]
    scored = list(KIND.columns)
    return trials.rename({"trial": "seed"}).select(*key, "seed", *scored).explode(scored)


def chosen(out: Path) -> pl.DataFrame:
    """Return the mean validation loss of last iterates in the pilots, the best first."""
    last = rows("pilots", out).filter((pl.col("reading") == "last") & (pl.col("arm") != "annealed"))
    key = ("task", "method", "arm", "rate", "threshold", "strength")
    each = last.group_by(*key).agg(pl.col("valid_loss").mean(), pl.col("loss").mean())
    return each.sort("task", "method", "arm", "valid_loss")
