"""`sterling landscape`: every state of a small instance, drawn or from a data file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from sterling.base.text import counted, percent
from sterling.cli.options import (
    COUNT,
    FILE,
    PICTURES,
    SCHEDULES,
    TABLES,
    Json,
    PiecewiseConstant,
    Quiet,
    SmallSource,
    Threads,
    check_targets,
    output,
    panel,
    parse_count,
    problem_option,
    run_option,
    with_source,
)
from sterling.cli.presses import settle
from sterling.cli.render import (
    INTERRUPTED,
    Say,
    about,
    guarded,
    note,
    print_json,
    print_verdict,
    speaker,
    write_table,
)
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.landscapes.basins import Basins
    from sterling.landscapes.landscape import Landscape

_SHOWN_BASINS = 5

_basin = panel("Basins")


@dataclass
class _Source(SmallSource):
    samples: Annotated[str | None, problem_option("Sample size N. \\[200]", **COUNT)] = None
    usual: ClassVar[tuple[int, int]] = (12, 200)


@guarded
@with_source(_Source)
def landscape(
    source: _Source,
    surrogate: PiecewiseConstant = "relu",
    gaussian: Annotated[
        bool,
        run_option(
            "The rows of the inputs are standard Gaussian, so the mean gradient is known.", "--gaussian"
        ),
    ] = False,
    threads: Threads = None,
    basins: Annotated[str | None, _basin("Run from so many starts, and count the ends.", **COUNT)] = None,
    steps: Annotated[str | None, _basin("Bound on each of these runs. \\[1e6]", **COUNT)] = None,
    schedule: Annotated[str | None, _basin(f"{SCHEDULES} \\[power:0.5,0.5]", metavar="SCHEDULE")] = None,
    init: Annotated[str | None, _basin("Names the starts. \\[0]", metavar="SEED")] = None,
    plot: Annotated[
        Path | None, output("Draw loss against distance to the teacher: .png, .svg or .pdf.", **FILE)
    ] = None,
    out: Annotated[
        Path | None, output("Save number, loss and distance of all states: .parquet or .csv.", **FILE)
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Visit all 2ⁿ weight vectors of a small network, and say which of them training can never leave.

    The data are drawn from a problem, or read from FILE; n may be at most 24. Ctrl-C ends it with exit code
    130; during --basins the landscape is shown all the same.
    """
    from sterling.landscapes.landscape import landscape as visit

    check_targets(source.data, (plot, "--plot", *PICTURES), (out, "--out", *TABLES))
    cores = parse_count(threads, "--threads", least=1)
    runs = _basin_settings(basins, steps, schedule, init)
    source.check(surrogate)
    say = speaker(quiet)
    instance = source.instance()
    found = visit(instance, surrogate, gaussian=gaussian or None, threads=cores, progress=not quiet)
    ends = None
    if runs is not None:
        try:
            ends = found.basins(**runs, threads=cores, progress=not quiet)
        except KeyboardInterrupt:
            settle()
            note("interrupted before all runs had ended, so there are no basins")
    try:
        if json:
            print_json({**found.to_dict(), "basins": None if ends is None else ends.to_dict()})
        else:
            _print(found, ends)
    finally:  # a full stdout must not cost the files
        _write(found, plot, out, say)
    if runs is not None and ends is None:
        raise typer.Exit(INTERRUPTED)


def _basin_settings(basins, steps, schedule, init) -> dict[str, Any] | None:
    """Return the arguments of `Landscape.basins`; None if it was not asked for."""
    from sterling.schedules import parse_schedule

    if basins is None:
        for option, value in (("--steps", steps), ("--schedule", schedule), ("--init", init)):
            if value is not None:
                raise InputError(f"{option} is for the runs of --basins: give --basins COUNT, or drop it")
        return None
    return {
        "starts": parse_count(basins, "--basins", least=1),
        "steps": parse_count(steps, "--steps", 1_000_000),
        "schedule": None if schedule is None else parse_schedule(schedule),
        "seed": parse_count(init, "--init", 0),
    }


def _print(found: "Landscape", ends: "Basins | None") -> None:
    from sterling.base.text import readable_time

    (_, verdict), *rows = found._rows()
    rows.append(("time", readable_time(found.seconds)))
    if ends is not None:
        rows += _basin_rows(found, ends)
    colour = "green" if found.trap_free else "red"
    print_verdict(about(found.instance, found.surrogate), verdict, colour, found.sentence(), rows)


def _basin_rows(found: "Landscape", ends: "Basins") -> list[tuple[str, str]]:
    """Return the largest basins in words."""
    rows = [("starts", f"{ends.starts:,}: " + ", ".join(f"{v:,} {k}" for k, v in ends.verdicts.items()))]
    for number, (share, distance) in enumerate(zip(ends.shares, ends.distance, strict=True)):
        if number == _SHOWN_BASINS:
            rest = float(ends.shares[number:].sum())
            rows.append(
                ("other basins", f"{len(ends.shares) - number:,}, together {percent(rest, 1)} of the starts")
            )
            break
        home = "the lowest minimiser" if found.instance.teacher is None else "the teacher"
        end = home if distance == 0 else f"a state at distance {distance}"
        rows.append((f"basin {number + 1}", f"{percent(share, 1)} of the starts end at {end}"))
    if ends.unabsorbed:
        why = "" if found.absorbing_states.size else "; no state absorbs, so none would end"
        runs = f"{counted(ends.unabsorbed, 'run')} under way after {counted(ends.steps, 'step')}{why}"
        rows.append(("not absorbed", runs))
    return rows


def _write(found: "Landscape", plot: Path | None, out: Path | None, say: Say) -> None:
    if out is not None:
        write_table(out, found.table())
        say(f"states saved: {out}")
    if plot is not None:
        from matplotlib.figure import Figure

        from sterling.plot.landscape import plot_landscape
        from sterling.plot.style import save_figure

        figure = Figure((8, 5), layout="constrained")
        ax = figure.add_subplot()
        ax.set_title(plot_landscape(ax, found), loc="left", fontsize=9.5, wrap=True)
        save_figure(figure, plot)
        say(f"picture: {plot}")
