"""The page of one run: its verdict, its figures, how often it came back, and its numbers, in one HTML file.

With a known teacher the details are about visits to it; on a reader's own data the labels count.
"""

from __future__ import annotations

from matplotlib.axes import Axes

from sterling.base.text import number, sentence
from sterling.claims.finding import picture
from sterling.dynamics.learned import LabelFit, label_fit, outcome, problem_line, weights_table
from sterling.dynamics.orbit import Orbit
from sterling.model.instance import Instance
from sterling.plot.run import ergodic_mean, errors_over_time, flip_raster
from sterling.plot.style import named_bars
from sterling.report.figures import BROAD, Drawing, render
from sterling.report.html import page
from sterling.returns.recurrence import Recurrence, home

_ROWS = 500  # weights in the table
_VISITS = ("occupancy of the best state seen", "visits", "first visit", "median absence that ended")
_NAMES = 14  # weights in the flip raster


def run_page(orbit: Orbit, instance: Instance, command: str = "") -> str:
    """Return the page of a run and its instance as HTML; ``command``, if any, reproduces it."""
    found = orbit.recurrence() if orbit.counted else None
    (_, verdict), *_ = orbit._rows()
    meaning, rows = outcome(orbit, instance)
    known = instance.teacher is not None
    weights = weights_table(orbit).head(_ROWS)
    two = orbit._levels == 2
    nearest = "sign of" if two else "level nearest to"
    return page(
        "run.html",
        verdict=verdict,
        meaning=meaning,
        problem=problem_line(orbit),
        rows=[row for row in rows if known or row[0] not in _VISITS],
        main=_main(orbit, instance),
        sentences=_visits(found) if found is not None and known else [],
        notice=_notice(orbit, instance),
        weights=weights.rows(),
        weight_columns=["weight", "last iterate", f"{nearest} the time average", home(orbit), "time average"],
        nearest=nearest,
        numbered=weights["feature"][0] == "0",
        undecided="from −1 to 1. Near 0" if two else "from lowest to highest level. Halfway between two",
        more_weights=orbit.n - len(weights),
        drawings=_details(orbit),
        script="page.js",
        command=command,
    )


def _visits(found: Recurrence) -> list[str]:
    """Return sentences about a run that returned, or will leave; the table says enough of any other."""
    if found.visits < 2 and not (found.visits and found.arrivals):
        return []
    interval = found.long_run is not None or found.halves is not None
    note = ["intervals allow for visits that come in clusters"] if interval else []
    return [sentence(text) for text in [*(text for _, text in found._rows()), *note]]


def _notice(orbit: Orbit, instance: Instance) -> list[str]:
    known, damping = instance.teacher is not None, orbit.optimizer.damping
    notes = (
        (
            not known,
            "The labels come from elsewhere, so no weights are known to be right. Distances refer to the "
            f"best state seen, that of lowest empirical risk, found at step {orbit.first_hit or 0:,}. These "
            "labels were used in training, so only new data can tell which weights are best.",
        ),
        (
            known,
            "The teacher is known: the weights that produced the labels. Distances and visits refer to it, "
            "and a weight is wrong if it differs from the teacher’s.",
        ),
        (
            damping > 0,
            f"The run is damped (θ = {damping:g}): a weight turns only where the gradient pulls at it by "
            f"more than θS, where S = {number(orbit._course.options.signal)} is the mean pull on one wrong "
            "weight. What st.certify proves is about undamped runs, θ = 0.",
        ),
        (
            orbit.verdict.absorbed and not orbit.certified,
            f"Since step {orbit.last_flip:,} the run rests where the gradient turns no weight. That is not "
            "proved to last: with this optimiser a later step still may turn one.",
        ),
        *((True, note) for note in orbit.notes),
        (orbit.interrupted, f"The run was interrupted at step {orbit.steps:,} of {orbit.planned:,}."),
        (not orbit.recorded, "The run did not record its flips, so there are no pictures over time."),
        (
            0 < orbit.flips_complete_to < orbit.steps,
            f"Flips are recorded up to step {orbit.flips_complete_to:,}; pictures over time end there.",
        ),
    )
    return [text for holds, text in notes if holds]


def _main(orbit: Orbit, instance: Instance) -> list[Drawing]:
    """Return the first figure, wide and narrow: of the labels, or of the distance to the teacher."""
    if instance.teacher is None:
        one = picture("How well the labels are fitted", _labels, fit=label_fit(orbit, instance))
    elif orbit.recorded:
        one = picture("Wrong weights over time", errors_over_time, orbit=orbit)
    else:
        return []
    return [render(one, "broad", BROAD), render(one)]


def _labels(ax: Axes, fit: LabelFit) -> str:
    """Draw the share of right labels, or the error, of each decoding and of one answer for all."""
    right = fit.measure == "labels right"
    values = [1 - value / fit.samples if right else value for value in fit.misfit.values()]
    named_bars(ax, list(fit.misfit), values, "share of the labels that are right" if right else fit.measure)
    found = "; ".join(f"{name.partition(', ')[2]} {text}" for name, text in fit.texts)
    return f"{'Longer' if right else 'Shorter'} bars are better. {sentence(found)}"


def _details(orbit: Orbit) -> list[Drawing]:
    if not orbit.recorded:
        return []
    return [
        render(picture("Which weights flip, and when", flip_raster, orbit=orbit, rows=_NAMES)),
        render(picture("Time average of each weight", ergodic_mean, orbit=orbit)),
    ]
