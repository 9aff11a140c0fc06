"""`sterling study`: run, status, fit, plot and export, thin shells over `sterling.study`."""

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterling.cli.options import (
    FILE,
    PICTURES,
    Json,
    Quiet,
    Threads,
    check_target,
    output,
    parse_count,
    parse_number,
    run_option,
)
from sterling.cli.render import FAILED, end_interrupted, guarded, print_json, speaker
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.study.fit import ExponentFit
    from sterling.study.report import Expected, SeriesFit, Status

#: Brackets of tables are escaped, for Rich takes them for markup.
_HELP = """Many trials over a grid of problems: run and resume, fit, draw, export.

A study is a TOML file such as this one; every value may be a list, and \\[stop] may be left out.

\b
  name = "noiseless"
  seed = 2026
  criteria = ["optimal"]  # ergodic, occupancy>=0.5, …
  \\[problem]
  n = [16, 32, 64]
  samples = { c = [1, 2, 4], a = 1.2 }  # or a list
  noise = 0.0
  \\[run]
  kind = "train"  # landscape, certificate, your own
  steps = 100_000
  schedule = "power:0.5,0.5"
  surrogate = "relu"
  trials = 200
  \\[stop]
  target = "exponent"  # or proportion
  width = 0.1
  time = "15min"

Sample sizes are c n^a, or a list; without them a study whose target is an exponent finds them. A study with a
target stops by itself.
"""

app = typer.Typer(
    name="study",
    help=_HELP,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Folder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="The folder of a study, or the .toml file that it lies beside.",
        callback=lambda path: path.with_suffix("") if path.suffix == ".toml" and path.is_file() else path,
    ),
]
_Criterion = Annotated[
    str | None,
    run_option(
        "Such as optimal, ergodic, visit, certified or occupancy>=R. \\[those of the study]", metavar="NAME"
    ),
]


@app.command("run")
@guarded
def run_study(
    study: Annotated[
        Path, typer.Argument(metavar="TOML|FOLDER", help="A study file, or a folder to go on with.")
    ],
    threads: Threads = None,
    cluster: Annotated[
        str | None,
        run_option(
            "Where trials run: local, in processes that open no port; or a Dask scheduler, tcp://HOST:PORT.",
            metavar="ADDRESS",
        ),
    ] = None,
    target_width: Annotated[
        str | None, run_option("Stop when the 95 % intervals are so narrow.", metavar="WIDTH")
    ] = None,
    time: Annotated[
        str | None, run_option("Stop after 90s, 15min or 2h; run again to go on.", metavar="TIME")
    ] = None,
    out: Annotated[Path | None, output("Where to keep the study.", "-o", "--out", metavar="DIR")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the trials of a study, or go on with one.

    Ctrl-C ends it early, with exit code 130; what is finished is kept, and the same command goes on. Without
    --out the study lies beside its file, in a folder of the same name.
    """
    from sterling.base.checks import real  # NumPy comes with it
    from sterling.study.cluster import open_cluster
    from sterling.study.collect import open_store, run
    from sterling.study.report import status
    from sterling.study.spec import seconds

    width, cores = parse_number(target_width, "--target-width"), parse_count(threads, "--threads", least=1)
    if width is not None:
        real(width, "--target-width", above=0)
    limit = None if time is None else real(seconds(time), "--time", above=0)
    store = open_store(study, out)
    speaker(quiet)
    options = {"threads": cores, "width": width, "time_limit": limit}
    try:
        with contextlib.ExitStack() as stack:
            if cluster is not None:
                executor, workers = stack.enter_context(open_cluster(cluster, cores))
                options |= {"executor": executor, "threads": workers}
            outcome = run(store, **options, progress=not quiet)
    except KeyboardInterrupt as error:
        outcome = getattr(error, "outcome", None)
        if outcome is None:  # pressed before there was anything to tell
            raise
    if json:
        print_json({**outcome.to_dict(), "folder": str(store.folder)})
    else:
        typer.echo(
            f"{outcome.reason}: {outcome.new:,} new trials in {outcome.seconds:.1f} s, {outcome.done:,} of "
            f"this plan in {store.folder}"
        )
        for message in outcome.messages:
            typer.echo(message)
        if not quiet:
            _print_status(status(store))
    if outcome.reason == "interrupted":
        end_interrupted(f"interrupted: sterling study run {store.folder} goes on")


@app.command("status")
@guarded
def show_status(folder: _Folder, json: Json = False) -> None:
    """Say what is done, which widths are reached and how much work is left."""
    from sterling.study.report import status

    found = status(folder)
    if json:
        print_json(found.to_dict())
    else:
        _print_status(found)


@app.command("fit")
@guarded
def fit(folder: _Folder, criterion: _Criterion = None, json: Json = False) -> None:
    """Fit how the needed sample size grows with n.

    N₅₀ is the sample size at which half of the trials succeed. The exit code is 1 if no series can be fitted.
    """
    from sterling.study.report import fit_store

    fits = fit_store(folder, criterion)
    if json:
        print_json([one.to_dict() for one in fits])
    elif not fits:
        typer.echo("there are no trials yet: run the study first")
    else:
        for one in fits:
            _print_fit(one)
    if not any(one.fit for one in fits):
        raise typer.Exit(FAILED)


@app.command("plot")
@guarded
def plot(
    folder: _Folder,
    out: Annotated[
        Path | None, output(".png, .svg or .pdf. \\[study.png in FOLDER]", "-o", "--out", **FILE)
    ] = None,
    criterion: _Criterion = None,
) -> None:
    """Draw success against samples, the threshold against n, and the map of regimes.

    Each series and criterion gets a figure of its own; more than one are numbered.
    """
    from sterling.plot.study import figure
    from sterling.plot.style import save_figure
    from sterling.study.report import fit_store
    from sterling.study.store import Store

    store = Store(folder)
    target = folder / "study.png" if out is None else out
    check_target(target, "--out", *PICTURES)
    fits = fit_store(store, criterion)
    if not fits:
        raise InputError(f"{folder} holds no trials yet: run the study first")
    for number, one in enumerate(fits):
        counts = store.counts(one.criterion)
        for name, value in one.series.items():
            counts = counts.filter(counts[name] == value)
        path = target if len(fits) == 1 else target.with_stem(f"{target.stem}-{number + 1}")
        save_figure(figure(one, counts, store.study.name), path)
        typer.echo(str(path))


@app.command("export")
@guarded
def export(
    folder: _Folder,
    out: Annotated[Path, output(".csv, .parquet or .json.", "-o", "--out", **FILE)],
) -> None:
    """Write all trials to one file, one row each."""
    from sterling.study.store import Store

    check_target(out, "--out")
    typer.echo(str(Store(folder).export(out)))


def _print_status(found: "Status") -> None:
    from sterling.base.text import readable_time

    study = found.study
    planned = f" of {found.planned:,}" if found.planned else ""
    extra = f", and {found.extra:,} beyond the plan" if found.extra else ""
    name = "".join(letter if letter.isprintable() else "�" for letter in study.name)
    typer.echo(f"{name}: {found.done:,}{planned} trials done{extra}")
    if found.target is not None:
        what = "exponent" if found.target == "exponent" else "share of successes in a cell"
        now = "not known yet" if found.widest is None or math.isinf(found.widest) else f"{found.widest:.3g}"
        typer.echo(f"target: {what} known to {found.target_width:g}; widest interval now: {now}")
    for one in found.fits:
        now = f"a = {_exponent(one.fit)}" if one.fit else f"no fit: {one.refusal}"
        typer.echo(f"{one.criterion} ({one.title}): {now}")
    if found.reached:
        typer.echo("nothing is left to do")
    elif found.work_left is not None:
        typer.echo(f"left: about {readable_time(found.work_left)} of work on one core")


def _print_fit(one: "SeriesFit") -> None:
    lines, fit = [f"{one.criterion}: {one.meaning} ({one.title})"], one.fit
    if fit is None:
        lines.append(f"no fit: {one.refusal}")
    else:
        lines.append(
            f"N50 = C n^a: a = {_exponent(fit)}, C = {fit.constant:.4g} [{fit.constant_low:.4g}, "
            f"{fit.constant_high:.4g}], {fit.trials:,} trials"
        )
        alone = [f"n={at.n} {_size(at.samples)} [{_size(at.low)}, {_size(at.high)}]" for at in fit.thresholds]
        lines += [f"N50 alone: {'; '.join(alone)}"] if alone else []
        lines += [_law(law) for law in one.expected]
        if not math.isnan(fit.p_value):
            lines.append(f"test of curvature: p = {fit.p_value:.2g}")
        lines += [f"undecided trials left out: a = {_exponent(one.left_out)}"] if one.left_out else []
        lines += one.notes
    typer.echo("\n  ".join(lines))


def _exponent(fit: "ExponentFit") -> str:
    return f"{fit.exponent:.4g} [{fit.exponent_low:.4g}, {fit.exponent_high:.4g}]"


def _size(samples: float) -> str:
    from sterling.base.text import number

    return number(samples) if samples >= 1 else "below 1"


def _law(law: "Expected") -> str:
    if not law.samples:
        return f"{law.kind}: a = {law.exponent:.4g} suffices ({law.source})"
    sizes = ", ".join(f"n={n} {_size(size)}" for n, size in law.samples.items())
    return f"{law.kind}: a = {law.exponent:.3g} over these n; N50 {sizes}"
