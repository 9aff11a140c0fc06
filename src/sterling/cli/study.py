"""`sterling study`: run, status, fit, plot and export, over the functions of `sterling.study`."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from sterling.cli import options
from sterling.cli.options import PICTURES, Group, add_verb, check_targets, output, run_option
from sterling.cli.render import FAILED, console, facts_table, note, print_json, speaker
from sterling.errors import InputError

_MANY = 2000  # trials, for which it pays to start processes

#: Brackets of tables are escaped, for Rich takes them for markup.
_HELP = """Run many trials over a grid of problems; resume, fit, draw and export them.

A study is a TOML file such as this one; every value may be a list, and \\[stop] may be left out.

\b
  criteria = ["optimal"]  # ergodic, occupancy>=0.5, …
  \\[problem]
  n = [16, 32, 64]
  samples = { c = [1, 2, 4], a = 1.2 }  # or a list
  \\[run]
  steps = 100_000
  trials = 200
  \\[stop]
  target = "exponent"
  time = "15min"

Sample sizes are c n^a, or a list. Without them, a study with target "exponent" chooses them.
"""

app = typer.Typer(
    name="study",
    cls=Group,
    help=_HELP,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Folder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of a study, or the .toml file beside it.",
        callback=lambda path: path.with_suffix("") if path.suffix == ".toml" and path.is_file() else path,
    ),
]
_CRITERION = "Criterion: optimal, ergodic, visit, certified or occupancy>=R. \\[those of the study]"
_Criterion = Annotated[str | None, run_option(_CRITERION, "NAME")]


def run_study(
    study: Annotated[
        Path, typer.Argument(metavar="TOML|FOLDER", help="Study file, or the folder of a study to continue.")
    ],
    threads: options.Threads = None,
    cluster: Annotated[
        str | None,
        run_option(
            "Workers that run the trials: local (processes on this machine) or a Dask scheduler, tcp://HOST:PORT."
            " \\[local for 2,000 trials or more]",
            "ADDRESS",
        ),
    ] = None,
    out: Annotated[Path | None, output("Folder of the study.", "DIR", "-o", "--out")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the trials of a study, or continue a study.

    Ctrl-C stops with exit code 130. The store keeps finished trials, and the same command continues.
    Without --out, the folder of the study is beside its file and has the same name.
    """
    from sterling.study.cluster import open_cluster, open_workers
    from sterling.study.collect import open_store, run
    from sterling.study.report import status

    store = open_store(study, out)
    speaker(quiet)
    opened: Any = contextlib.nullcontext((None, threads))
    if cluster is not None:
        opened = open_cluster(cluster, threads)
    elif store.study.adaptive or store.study.trials * len(store.study.cells) >= _MANY:
        opened = open_workers(threads)
    try:
        with opened as (executor, count):
            outcome = run(store, threads=count, executor=executor, progress=not quiet)
    except KeyboardInterrupt as error:
        outcome = getattr(error, "outcome", None)
        if outcome is None:  # pressed before the first trial
            raise
    if json:
        print_json({**outcome.to_dict(), "folder": str(store.folder)})
    else:
        reason = "time limit reached" if outcome.reason == "time" else outcome.reason
        typer.echo(
            f"{reason}: {outcome.new:,} new trials in {outcome.seconds:.1f} s; the folder "
            f"{store.folder} has {outcome.done:,} trials of this study"
        )
        for message in outcome.messages:
            typer.echo(message)
        if not quiet:
            typer.echo(status(store).summary())
            if outcome.finished:
                note(f"see what they show: sterling study fit {store.folder}")
            elif outcome.reason == "time":
                note(f"continue with: sterling study run {store.folder}")
    if outcome.reason == "interrupted":
        raise KeyboardInterrupt(f"interrupted; continue with: sterling study run {store.folder}")


def show_status(folder: _Folder, json: options.Json = False) -> None:
    """Report how many trials are done and how wide the intervals are."""
    from sterling.study.report import status

    found = status(folder)
    if json:
        print_json(found.to_dict())
    else:
        typer.echo(found.summary())


def fit(folder: _Folder, criterion: _Criterion = None, json: options.Json = False) -> None:
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
            console().print(facts_table(one._rows()), "")
    if not any(one.fit for one in fits):
        raise typer.Exit(FAILED)


def plot(
    folder: _Folder,
    criterion: _Criterion = None,
    out: Annotated[
        Path | None,
        output("File of the figure: .png, .svg or .pdf. \\[study.png in FOLDER]", "FILE", "-o", "--out"),
    ] = None,
) -> None:
    """Draw success against samples, the threshold against n, and the map of regimes.

    Each series and criterion gets its own figure; the files of several figures are numbered.
    """
    from sterling.plot.study import counts_of, figure
    from sterling.plot.style import save_figure
    from sterling.study.report import fit_store
    from sterling.study.store import Store

    store = Store(folder)
    target = folder / "study.png" if out is None else out
    check_targets(None, (target, "--out", *PICTURES))
    fits = fit_store(store, criterion)
    if not fits:
        raise InputError(f"{folder} holds no trials yet: run the study first")
    for number, one in enumerate(fits):
        path = target if len(fits) == 1 else target.with_stem(f"{target.stem}-{number + 1}")
        save_figure(figure(one, counts_of(store, one), store.study.name), path)
        typer.echo(str(path))


def export(
    folder: _Folder,
    out: Annotated[Path, output("File of the trials: .csv, .parquet or .json.", "FILE", "-o", "--out")],
) -> None:
    """Write all trials to one file, one row each."""
    from sterling.study.store import Store

    check_targets(None, (out, "--out"))
    typer.echo(str(Store(folder).export(out)))


add_verb(app, run_study, "run")
add_verb(app, show_status, "status")
add_verb(app, fit)
add_verb(app, plot)
add_verb(app, export)
