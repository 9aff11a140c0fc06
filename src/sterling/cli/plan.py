"""`sterling plan`: how many samples, from theory, and measured where asked."""

from typing import TYPE_CHECKING, Annotated

from sterling.base.text import percent
from sterling.cli.options import (
    COUNT,
    SCHEDULES,
    SURROGATES,
    Json,
    Noise,
    Quiet,
    Readout,
    Units,
    Width,
    panel,
    parse_count,
    parse_number,
    parse_readout,
    problem_option,
)
from sterling.cli.render import console, guarded, print_json, speaker
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.plans.needs import Need, Plan

N = 64

_goal, _check = panel("The goal"), panel("Measuring it")


@guarded
def plan(
    n: Width = None,
    m: Units = None,
    noise: Noise = None,
    readout: Readout = None,
    surrogate: Annotated[str, problem_option(SURROGATES, metavar="NAME")] = "relu",
    samples: Annotated[
        str | None, _goal("Number of samples of which to say what to expect.", **COUNT)
    ] = None,
    occupancy: Annotated[
        str, _goal("Share of the steps that the last iterate shall be right.", metavar="SHARE")
    ] = "0.5",
    confidence: Annotated[
        str, _goal("Share of data sets in which the time average shall be right.", metavar="SHARE")
    ] = "0.5",
    check: Annotated[
        str | None, _check("Measure each row that is no theorem by so many trials.", metavar="TRIALS")
    ] = None,
    steps: Annotated[
        str | None,
        _check("Number of steps that all rows hold for. \\[that of its check]", **COUNT),
    ] = None,
    schedule: Annotated[str | None, _goal(f"{SCHEDULES} \\[power:0.5,0.5]", metavar="SCHEDULE")] = None,
    seed: Annotated[str | None, _check("Root of the trials' seeds. \\[0]", metavar="SEED")] = None,
    threads: Annotated[str | None, _check("Trials at a time. \\[all cores]", **COUNT)] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how many samples training needs in dimension n.

    What is proved and what is a mean-field estimate is said apart; --check measures how good the estimate is.
    Inputs are Gaussian.
    """
    from sterling.model.problem import Problem
    from sterling.plans.plan import plan as make
    from sterling.schedules import parse_schedule

    trials = parse_count(check, "--check", 0, least=1)
    count = parse_count(samples, "--samples")
    if not trials:
        for option, value in (("--seed", seed), ("--threads", threads)):
            if value is not None:
                raise InputError(f"{option} is for trials: give --check too, or drop it")
    say = speaker(quiet)
    problem = Problem(
        n=parse_count(n, "--n", N),
        samples=1 if count is None else count,
        m=parse_count(m, "--m", 1),
        noise=parse_number(noise, "--noise", 0.0),
        readout="ones" if readout is None else parse_readout(readout),
    )
    made = make(
        problem,
        surrogate=surrogate,
        occupancy=parse_number(occupancy, "--occupancy"),
        confidence=parse_number(confidence, "--confidence"),
        check=trials,
        steps=parse_count(steps, "--steps"),
        schedule=None if schedule is None else parse_schedule(schedule),
        seed=parse_count(seed, "--seed", 0),
        threads=parse_count(threads, "--threads", least=1),
        progress=not quiet,
    )
    if json:
        print_json({**made.to_dict(), **({} if count else {"expected": None})})
    else:
        _print(made, count is not None)
        if not trials:
            say("--check 50 measures the rows that are no theorems")


def _print(made: "Plan", expected: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from sterling.plans.needs import UNCHECKED
    from sterling.report.terminal import KIND_STYLES
    from sterling.theory import KINDS

    checked = any(need.check for need in made.needs)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("so that", overflow="fold")
    table.add_column("samples", overflow="fold")
    table.add_column("how sure")
    if checked:
        table.add_column("measured", overflow="fold")
    for need in made.needs:
        sure, *words = need.label.split(", ")
        how = Text.assemble((sure, KIND_STYLES[need.kind]), *(f", {word}" for word in words))
        cells = [need.goal, need.amount, how]
        cells += [_measured(need)] if checked else []
        table.add_row(*cells, style=None if need.checked else "dim")
    out, about = console(), made.problem
    out.print(
        f"weights n = {about.n} · hidden units m = {about.m} · label noise σ = {about.noise:g} · "
        f"squared norm of the readout ‖v‖² = {about.readout_norm2:g} · surrogate {made.surrogate}",
        style="dim",
    )
    out.print(table)
    out.print("w*: the weights that made the labels; a time average decodes to w* if its signs are w*")
    out.print("of order: n² and n⁴, times constants that the proofs leave open")
    for kind in dict.fromkeys(need.kind for need in made.needs):
        out.print(Text.assemble((kind, KIND_STYLES[kind]), f": {KINDS[kind]}"))
    if not all(need.checked for need in made.needs):
        out.print(
            f"{UNCHECKED}: in this range runs were not compared with the law, or did not agree with it",
            style="dim",
        )
    if made.advice:
        out.print(made.advice)
    if expected:
        out.print(_expected(made))


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


def _expected(made: "Plan") -> str:
    """Return what to expect of the samples that were given."""
    expected = made.expected
    given = f"With {expected.samples:,} samples"
    if not expected.reaches:
        return f"{given} a run may not find w* at all, even without label noise (mean-field)."
    if made.problem.noise > 0:
        return (
            f"{given} expect w* for {expected.occupancy:.3g} of the steps, and "
            f"{percent(expected.wrong_share, 2)} of the weights wrong at a time (mean-field)."
        )
    return f"{given} expect runs to end at w* (mean-field)."
