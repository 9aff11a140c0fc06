"""The outcome of a run in words and tables: its verdict, its weights by feature, and their predictions.

Weights are decoded in two ways: the last iterate, and the sign (nearest level) of the time average. If the
teacher is unknown, the best state seen is a third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import counted, number, share
from sterling.dynamics.verdict import Verdict
from sterling.schedules import Power

if TYPE_CHECKING:
    import polars as pl

    from sterling.dynamics.orbit import Orbit
    from sterling.model.instance import Instance

_NOISE = 0.2  # label noise from which on ergodic restarts made no clear difference (docs/science, 12)
_ADVICE = {
    "time average": "decode with the time average, which fits these data best",
    "best state seen": "the best state seen fits these data best, but was chosen by them: compare it "
    "with the time average on held-out data",
    "last iterate": "the last iterate fits these data best, but that is luck: compare it with the time "
    "average on held-out data",
}


def weights_table(orbit: Orbit) -> pl.DataFrame:
    """Return a row for each weight: its feature, and its sign or level in last iterate, time average and
    reference. The last column is the time average in units of 1/√n.
    """
    import polars as pl

    reference = "teacher" if orbit.reference_kind == "teacher" else "best_state_seen"
    return pl.DataFrame(
        {
            "feature": orbit.weight_names,
            "last": orbit.signs,
            "average": orbit.ergodic_signs,
            reference: orbit.reference,
            "time_average": (orbit.ergodic_mean * math.sqrt(orbit.n)).round(12),  # whole if it never flipped
        }
    )


def predictions_table(orbit: Orbit, instance: Instance) -> pl.DataFrame:
    """Return a row for each sample, in the order of the data: its label, and what each decoding predicts."""
    import polars as pl

    columns = {"sample": np.arange(instance.samples), "label": instance.labels}
    columns |= {"last": instance.predict(orbit.signs), "average": instance.predict(orbit.ergodic_signs)}
    if orbit.reference_kind != "teacher":
        columns["best_state_seen"] = instance.predict(orbit.reference)
    return pl.DataFrame(columns)


def data_line(about: dict) -> str:
    """Return one line that describes the data, from the values of `Instance.to_dict`."""
    origin = about.get("origin", {})
    parts = [
        f"weights n = {about['n']:,}",
        f"samples N = {about['samples']:,}",
        f"hidden units m = {about['m']}",
    ]
    if "file" in origin:
        parts.insert(0, str(origin["file"]))
    if "labels" in origin:
        parts.insert(1, f"labels in {origin['labels']!r}")
    if "levels" in about:
        parts.append(f"{about['levels']} levels")
    if "noise" in origin:
        parts.append(f"label noise σ = {origin['noise']:g}")
    if "inputs" in origin:
        parts.append(f"{origin['inputs']} inputs")
    if origin.get("normalize") in ("standard", "whiten"):
        parts.append("standardised" if origin["normalize"] == "standard" else "whitened")
    return " · ".join(parts)


def problem_line(orbit: Orbit) -> str:
    """Return one line that describes a run: data, surrogate, step sizes, and what differs from plain SGD.

    Users' names are not escaped for Matplotlib; see `sterling.plot.style.escaped`.
    """
    restart = orbit.restart
    parts = [data_line(orbit.instance), f"surrogate {orbit.surrogate}"]
    if orbit.optimizer.name != "bop":  # which has no step sizes
        moves = " at step t" if isinstance(orbit.schedule, Power) else ""
        parts.append(f"step size {orbit.schedule.formula}{moves}")
    if restart is not None:
        parts.append(f"restart every {counted(restart.every, 'step')} (scale {restart.scale:g})")
    if not orbit._usual:
        parts += [f"{name} {text}" for name, text in orbit._method()]
    return " · ".join(parts)


def where_it_holds(orbit: Orbit) -> str:
    """Return what absorption depends on besides data and surrogate, in brackets; empty for plain SGD."""
    optimizer = orbit.optimizer
    if optimizer.damping > 0:
        return f" (at damping {optimizer.damping:g})"
    return " (with this optimiser)" if optimizer.band > 0 else ""


def _threshold(orbit: Orbit, amount: str, size: str) -> str:
    """Return another threshold for this run, as " or less damping" or " or a smaller band"; else empty."""
    optimizer = orbit.optimizer
    if optimizer.damping > 0:
        return f" or {amount} damping"
    if optimizer.name == "bop":
        return f" or a {size} threshold"
    # Without decay the absorbing states do not depend on the band.
    return f" or a {size} band" if optimizer.band > 0 and getattr(optimizer, "decay", 0.0) > 0 else ""


def _remedy(orbit: Orbit) -> str:
    """Return what ends chatter without more samples, as far as this kind of run can take it; else empty."""
    if orbit._plain:
        noise = orbit.instance.get("origin", {}).get("noise", 0.0)
        return "ergodic restarts" if orbit.restart is None and noise < _NOISE else ""
    damped = orbit.optimizer.name in ("sgd", "adam") and not where_it_holds(orbit)
    return "damping" if damped and orbit._levels == 2 else ""


def meaning(orbit: Orbit) -> str:
    """Return the meaning of the verdict for this run, as a sentence that fits the kind of reference."""
    reference = "teacher" if orbit.reference_kind == "teacher" else "best state seen"
    if reference != "teacher":
        if orbit.verdict is Verdict.TRAPPED and orbit._rest == 2:
            weaker = _threshold(orbit, "less", "smaller")
            features = f", normalised features{weaker}" if weaker else " or normalised features"
            return (
                f"Absorbed{where_it_holds(orbit)} where not every label is right: more steps or other "
                f"step sizes will not help; more samples{features} may."
            )
        if orbit.verdict is Verdict.RECURRENT:
            return (
                f"The {reference} was left and visited again: compare it with the time average on held-out "
                "data, or take more samples."
            )
    words = orbit.verdict.meaning.replace("reference", reference)
    where = "the teacher" if reference == "teacher" and not orbit.errors else "zero empirical risk"
    words = words.replace("the teacher or at zero empirical risk", where)
    if not orbit._plain:
        words = words.replace("absorbed", f"absorbed{where_it_holds(orbit)}")
        weaker, stronger = _threshold(orbit, "less", "smaller"), _threshold(orbit, "more", "larger")
        words = words.replace("more samples may", f"more samples{weaker} may")
        words = words.replace("take more samples", f"take more samples{stronger}")
    if orbit.verdict is Verdict.CHATTERING:
        words = words.replace("ergodic restarts", _remedy(orbit) or "more samples")
    if orbit._rest == 1:
        where = words.partition(":")[0].replace("absorbed", "at rest")
        doubt = "the gradient turns no weight, but with this optimiser a later step still may"
        words = f"{where}, not certified: {doubt}"
    if orbit.verdict is Verdict.RECURRENT and not orbit.errors:
        often = f"right only by chance, as in {share(orbit.occupancy)} of the steps"
        words = words.replace(": ", f", so the last iterate is {often}: ")
    advised = orbit.verdict in (Verdict.RECURRENT, Verdict.CHATTERING)
    if advised and reference == "teacher" and orbit.ergodic_errors:
        wrong = counted(orbit.ergodic_errors, "wrong weight")
        words = f"{words.partition(':')[0]}: the time average has {wrong}, so take more samples"
        remedy = _remedy(orbit) if orbit.verdict is Verdict.CHATTERING else ""
        words += f" or {remedy}" if remedy else ""
    return f"{words[0].upper()}{words[1:]}."


@dataclass(frozen=True)
class LabelFit:
    """How well each decoding fits the labels, beside one answer for all samples, the last entry."""

    measure: str  # "labels right" if all labels are integers, else "mean squared error"
    misfit: dict[str, float]  # the number of wrong labels, or the error
    samples: int

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The rows of a table."""
        if self.measure == "labels right":
            found = {
                name: f"{self.samples - wrong:,.0f} of {self.samples:,}"
                for name, wrong in self.misfit.items()
            }
        else:
            found = {name: number(error) for name, error in self.misfit.items()}
        return [(f"{self.measure}, {name}", text) for name, text in found.items()]


def label_fit(orbit: Orbit, instance: Instance) -> LabelFit:
    """Return how well time average, best state seen and last iterate fit the labels, and the baseline."""
    readings = {"time average": orbit.ergodic_signs, "best state seen": orbit.reference}
    off = {name: instance.predict(signs) - instance.labels for name, signs in readings.items()}
    off["last iterate"] = instance.predict(orbit.signs) - instance.labels
    if np.array_equal(instance.labels, np.rint(instance.labels)):
        misfit = {name: float(np.count_nonzero(np.abs(one) >= 0.5)) for name, one in off.items()}
        values, counts = np.unique(instance.labels, return_counts=True)
        commonest = f"always {values[counts.argmax()]:g} (commonest label)"
        return LabelFit(
            "labels right", {**misfit, commonest: float(instance.samples - counts.max())}, instance.samples
        )
    misfit = {name: float(np.mean(one**2)) for name, one in off.items()}
    return LabelFit(
        "mean squared error", {**misfit, "always the mean": float(instance.labels.var())}, instance.samples
    )


def outcome(orbit: Orbit, instance: Instance) -> tuple[str, list[tuple[str, str]]]:
    """Return the meaning of the verdict with advice, and the main results as a table.

    If the teacher is unknown, the table says how well each decoding fits the data, and the advice follows.
    """
    words = meaning(orbit)
    _, steps, *rows = orbit._rows()
    if orbit.reference_kind == "teacher":
        return words, [steps, *rows]
    fit = label_fit(orbit, instance)
    *readings, baseline = fit.misfit
    best = min(readings, key=fit.misfit.__getitem__)  # the first of equals
    if orbit.verdict in (Verdict.RECURRENT, Verdict.CHATTERING):
        advice = _ADVICE[best]
        if best == "time average" and fit.misfit[best] == fit.misfit["last iterate"]:
            advice = "decode with the time average; the last iterate fits these data as well, but moves on"
        words = f"{words.partition(':')[0]}: {advice}."
    if fit.misfit[best] >= fit.misfit[baseline]:
        words += f" But no reading fits the labels better than {baseline}."
    return words, [*fit.texts, steps, *rows]
