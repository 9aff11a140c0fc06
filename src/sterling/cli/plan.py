"""`sterling plan`: how many samples, from theory, and measured where asked."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

from sterling.base.text import percent
from sterling.cli import options
from sterling.cli.options import SCHEDULE, SURROGATE, THREADS, given, option, problem_option
from sterling.cli.render import console, print_json, speaker
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.plans.needs import Need, Plan

N = 64

_goal = partial(option, "The goal")
_check = partial(option, "Measuring it")


def plan(
    n: options.Width = None,
    m: options.Units = None,
    noise: options.Noise = None,
    readout: options.Readout = None,
    surrogate: Annotated[str, problem_option(*SURROGATE)] = "relu",
    occupancy: Annotated[
        float, _goal("Target share of the steps in which the last iterate is right.", "SHARE")
    ] = 0.5,
    confidence: Annotated[
        float, _goal("Target share of data sets whose time average is right.", "SHARE")
    ] = 0.5,
    check: Annotated[
        int,
        _check(
            "Measure each row that is not a theorem, in this number of trials.",
            "TRIALS",
            parser=options.count,
        ),
    ] = 0,
    steps: Annotated[
        int | None,
        _check("Number of steps of each run. \\[the number at which the row was checked]", "COUNT"),
    ] = None,
    schedule: Annotated[str | None, _goal(*SCHEDULE)] = None,
    seed: Annotated[int | None, _check("Random seed of the trials. \\[0]", "SEED")] = None,
    threads: Annotated[int | None, _check(*THREADS)] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Estimate how many samples training needs for n weights and Gaussian inputs.

    Each row says whether it is proved, measured or a mean-field estimate. --check measures how good the
    estimates are.
    """
    from sterling.model.problem import Problem
    from sterling.plans.plan import plan as make
    from sterling.schedules import parse_schedule

    if not check:
        for option, value in (("--seed", seed), ("--threads", threads)):
            if value is not None:
                raise InputError(f"{option} needs --check: give --check too, or drop {option}")
    say = speaker(quiet)
    values = given({"m": m, "noise": noise, "readout": readout})
    problem = Problem(N if n is None else n, samples=1, **values)
    found = make(
        problem,
        surrogate=surrogate,
        occupancy=occupancy,
        confidence=confidence,
        check=check,
        steps=steps,
        schedule=None if schedule is None else parse_schedule(schedule),
        seed=seed or 0,
        threads=threads,
        progress=not quiet,
    )
    if json:
        print_json(found.to_dict())
    else:
        _print(found)
        if not check:
            say("--check 50 measures the rows that are not theorems")


def _print(found: "Plan") -> None:
    from rich.table import Table
    from rich.text import Text

    from sterling.plans.needs import UNCHECKED
    from sterling.theory import KINDS

    measured = ["measured"] if any(need.check for need in found.needs) else []
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("goal", "samples needed", "basis", *measured):
        table.add_column(title, overflow="fold")
    for need in found.needs:
        cells = [need.goal, need.amount, need.label, *(_measured(need) for _ in measured)]
        table.add_row(*map(Text, cells), style=None if need.checked else "dim")
    about = found.problem
    words = [
        "w*: the teacher, the weights that made the labels; a time average decodes to w* if its signs are w*",
        "of order: a power of n; the proof leaves open by which constant to multiply it",
        *(f"{kind}: {KINDS[kind]}" for kind in dict.fromkeys(need.kind for need in found.needs)),
    ]
    plain = {
        need.criterion: need.samples
        for need in found.needs
        if need.restart is None and need.optimizer is None
    }
    if "optimal" in plain and plain["optimal"] == plain.get("ergodic"):
        words.append(
            "the first two rows are equal: with few weights the average is right where the run ends at w*"
        )
    if not all(need.checked for need in found.needs):
        words.append(
            f"{UNCHECKED}: in this range runs were not compared with the law, or did not agree with it"
        )
    console(unbroken=False).print(
        f"weights n = {about.n:,} · hidden units m = {about.m} · label noise σ = {about.noise:g} · "
        f"squared norm of the readout ‖v‖² = {about.readout_norm2:g} · surrogate {found.surrogate}",
        table,
        *words,
        sep="\n",
    )


def _measured(need: "Need") -> str:
    check = need.check
    if check is None:
        return "–"
    share = (
        percent(check.share) if not check.undecided else f"{percent(check.share)} to {percent(check.most)}"
    )
    text = f"{share} [{percent(check.low)}, {percent(check.high)}]"
    text += f" of {check.trials} trials at N = {check.samples:,}, {check.steps:,} steps"
    if check.undecided:
        text += f", {check.undecided} undecided"
    if need.promise is not None and not check.low <= need.promise <= check.high:
        text += ": more than estimated" if check.low > need.promise else ": fewer than estimated"
    return text
