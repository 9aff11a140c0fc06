"""`sterling landscape`: every state of a small instance, drawn or from a data file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sterling.base.text import counted, percent
from sterling.cli import options
from sterling.cli.options import (
    COUNT,
    FILE,
    PICTURES,
    SCHEDULE,
    SEED,
    TABLES,
    check_targets,
    load,
    output,
    run_option,
)
from sterling.cli.render import about, print_json, print_verdict, speaker, write_table
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.landscapes.basins import Basins
    from sterling.landscapes.landscape import Landscape

_USUAL = 12, 200  # n and samples
_SHOWN_BASINS = 5

_basin = partial(run_option, rich_help_panel="Basins")


def landscape(
    data: options.Data = None,
    n: options.SmallWidth = None,
    samples: Annotated[int | None, options.samples(200)] = None,
    m: options.Units = None,
    noise: options.Noise = None,
    readout: options.Readout = None,
    inputs: options.Inputs = None,
    seed: options.Seed = None,
    labels: options.Labels = None,
    precision: options.Precision = None,
    keep_constant: options.KeepConstant = False,
    normalize: options.Normalize = "none",
    surrogate: options.PiecewiseConstant = "relu",
    damping: Annotated[
        float,
        run_option(help="Damping of the runs, in units of the pull on one wrong weight.", metavar="THETA"),
    ] = 0.0,
    gaussian: Annotated[
        bool,
        run_option(
            "--gaussian", help="Assume standard Gaussian inputs, for which the mean gradient is known."
        ),
    ] = False,
    threads: options.Threads = None,
    basins: Annotated[
        int | None, _basin(help="Start from COUNT random states and count where they end.", **COUNT)
    ] = None,
    steps: Annotated[int | None, _basin(help="Largest number of steps of each run. \\[1e6]", **COUNT)] = None,
    schedule: Annotated[str | None, _basin(**SCHEDULE)] = None,
    init: Annotated[int | None, _basin(help="Random seed of the starts. \\[0]", **SEED)] = None,
    plot: Annotated[
        Path | None, output(help="Draw loss against distance to the teacher: .png, .svg or .pdf.", **FILE)
    ] = None,
    out: Annotated[
        Path | None, output(help="Write number, loss and distance of all states: .parquet or .csv.", **FILE)
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Visit all 2ⁿ weight vectors of a small network, and find those that training can never leave.

    The data are drawn from a problem, or read from FILE; n may be at most 24. Ctrl-C stops with exit
    code 130, and shows the landscape if only the runs of --basins are unfinished.
    """
    from sterling.landscapes.landscape import check_dimension, check_surrogate
    from sterling.landscapes.landscape import landscape as visit
    from sterling.schedules import parse_schedule

    check_targets(data, (plot, "--plot", *PICTURES), (out, "--out", *TABLES))
    for option, value in (("--steps", steps), ("--schedule", schedule), ("--init", init)):
        if basins is None and value is not None:
            raise InputError(f"{option} needs --basins: give --basins COUNT too, or drop {option}")
    sizes = None if schedule is None else parse_schedule(schedule)
    check_surrogate(surrogate)
    if data is None:
        check_dimension(_USUAL[0] if n is None else n)
    say = speaker(quiet)
    drawn = {"n": n, "samples": samples, "m": m, "noise": noise, "inputs": inputs, "seed": seed}
    read = {"labels": labels, "precision": precision, "keep_constant": keep_constant}
    instance = load(data, drawn, read, readout, normalize, _USUAL)
    known = gaussian or None
    found = visit(instance, surrogate, damping=damping, gaussian=known, threads=threads, progress=not quiet)
    ends, stopped = None, None
    if basins is not None:
        most = 1_000_000 if steps is None else steps
        try:
            given = {"schedule": sizes, "seed": init or 0, "steps": most, "threads": threads}
            ends = found.basins(basins, **given, progress=not quiet)
        except KeyboardInterrupt:
            stopped = KeyboardInterrupt("interrupted before all runs had ended: no basins are known")
    try:
        if json:
            print_json({**found.to_dict(), "basins": None if ends is None else ends.to_dict()})
        else:
            _print(found, ends)
    finally:  # a full stdout must not cost the files
        _write(found, plot, out, say)
    if stopped is not None:
        raise stopped


def _print(found: "Landscape", ends: "Basins | None") -> None:
    from sterling.base.text import readable_time

    (_, verdict), *rows = found._rows()
    rows.append(("time", readable_time(found.seconds)))
    if ends is not None:
        rows += _basin_rows(found, ends)
    colour = "green" if found.trap_free else "red"
    damped = f" · damping {found.damping:g}" if found.damping else ""
    print_verdict(about(found.instance, found.surrogate) + damped, verdict, colour, found.sentence(), rows)


def _basin_rows(found: "Landscape", ends: "Basins") -> list[tuple[str, str]]:
    rows = [("starts", f"{ends.starts:,}: " + ", ".join(f"{v:,} {k}" for k, v in ends.verdicts.items()))]
    home = "the lowest minimiser" if found.instance.teacher is None else "the teacher"
    largest = zip(ends.shares[:_SHOWN_BASINS], ends.distance[:_SHOWN_BASINS], strict=True)
    for number, (share, distance) in enumerate(largest, 1):
        end = home if distance == 0 else f"a state at distance {distance}"
        rows.append((f"basin {number}", f"{percent(share, 1)} of the starts end at {end}"))
    rest = ends.shares[_SHOWN_BASINS:]
    if len(rest):
        rows.append(
            ("other basins", f"{len(rest):,}, together {percent(float(rest.sum()), 1)} of the starts")
        )
    if ends.unabsorbed:
        why = "" if found.absorbing_states.size else "; no state absorbs, so no run ends"
        runs = f"{counted(ends.unabsorbed, 'run')} unfinished after {counted(ends.steps, 'step')}{why}"
        rows.append(("not absorbed", runs))
    return rows


def _write(found: "Landscape", plot: Path | None, out: Path | None, say: Callable[[str], None]) -> None:
    if out is not None:
        write_table(out, found.table())
        say(f"states saved: {out}")
    if plot is not None:
        from matplotlib.figure import Figure

        from sterling.plot.landscape import loss_by_distance
        from sterling.plot.style import save_figure

        figure = Figure((8, 5), layout="constrained")
        ax = figure.add_subplot()
        ax.set_title(loss_by_distance(ax, found), loc="left", fontsize=9.5, wrap=True)
        save_figure(figure, plot)
        say(f"picture: {plot}")
