"""`sterling train`: one run, on a drawn problem or on a data file."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sterling.base.text import sentence
from sterling.cli.options import (
    COUNT,
    FILE,
    PAGES,
    PICTURES,
    SCHEDULES,
    SURROGATES,
    TABLES,
    Json,
    Quiet,
    Source,
    Threads,
    check_targets,
    output,
    parse_bytes,
    parse_count,
    parse_number,
    parse_start,
    run_option,
    with_source,
)
from sterling.cli.render import (
    Say,
    end_interrupted,
    guarded,
    note,
    print_json,
    print_verdict,
    speaker,
    write_table,
)
from sterling.errors import CheckpointError, StoreError

if TYPE_CHECKING:
    import numpy as np

    from sterling.dynamics.options import Options
    from sterling.dynamics.orbit import Orbit
    from sterling.model.instance import Instance


@guarded
@with_source(Source)
def train(
    source: Source,
    steps: Annotated[str, run_option("Steps: 1000000, 1_000_000, 1e6 or 1M.", **COUNT)] = "1e6",
    schedule: Annotated[str, run_option(SCHEDULES, metavar="SCHEDULE")] = "power:0.5,0.5",
    surrogate: Annotated[str, run_option(SURROGATES, metavar="NAME")] = "relu",
    restart: Annotated[
        str | None,
        run_option("Go back to the time average: steps between, and scale: 300,0.05.", metavar="EVERY,SCALE"),
    ] = None,
    init: Annotated[str, run_option("Start: a seed, or latent weights: 0.1,-0.2.", metavar="SEED")] = "0",
    engine: Annotated[
        str,
        run_option("auto, event (from flip to flip) or dense (every step); the same result.", metavar="NAME"),
    ] = "auto",
    threads: Threads = None,
    cache: Annotated[
        str | None, run_option("Memory for visited states, such as 512MB. \\[1GiB]", metavar="SIZE")
    ] = None,
    plot: Annotated[Path | None, output("Draw the run: .png, .svg or .pdf.", **FILE)] = None,
    report: Annotated[
        Path | None, output("Write a page on the run and its recurrence: .html.", **FILE)
    ] = None,
    weights: Annotated[
        Path | None,
        output("Write the weights by the last iterate and by the average: .csv or .parquet.", **FILE),
    ] = None,
    predictions: Annotated[
        Path | None, output("Write what each of these answers to each sample: .csv or .parquet.", **FILE)
    ] = None,
    out: Annotated[Path | None, output("Save the run, for Orbit.load and resume.", **FILE)] = None,
    checkpoint: Annotated[
        Path | None, output("Save the run on the way, and go on from FILE if it is there.", **FILE)
    ] = None,
    checkpoint_every: Annotated[str, output("Time between two saves.", metavar="SECONDS")] = "20",
    record: Annotated[
        bool, output("Record every flip; --plot, --report and --out do so as well.", "--record")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a two-layer network of binary weights, and say what became of it.

    The data are drawn from a problem, or read from FILE. Ctrl-C ends the run early: the results so far are
    shown, and the exit code is 130. With --checkpoint the same command goes on from there.
    """
    from sterling.dynamics.options import Options
    from sterling.dynamics.restart import parse_restart
    from sterling.dynamics.train import initial_latent
    from sterling.schedules import parse_schedule

    targets = (
        (plot, "--plot", *PICTURES),
        (report, "--report", *PAGES),
        (weights, "--weights", *TABLES),
        (predictions, "--predictions", *TABLES),
        (out, "--out"),
        (checkpoint, "--checkpoint"),
    )
    check_targets(source.data, *targets)
    options = Options(
        steps=parse_count(steps, "--steps"),
        schedule=parse_schedule(schedule),
        surrogate=surrogate,  # type: ignore[arg-type]
        restart=None if restart is None else parse_restart(restart),
        engine=engine,
        record=("recurrence", *(("flips",) if record or plot or report or out else ())),
        progress=not quiet,
        threads=parse_count(threads, "--threads"),  # type: ignore[arg-type]
        cache_bytes=None if cache is None else parse_bytes(cache, "--cache"),
        checkpoint=checkpoint,
        checkpoint_every=parse_number(checkpoint_every, "--checkpoint-every"),
    )
    start, say = parse_start(init), speaker(quiet)
    instance = source.instance()
    latent = initial_latent(instance.n, start)
    stopped: BaseException | None = None
    try:
        orbit = _run(instance, options, latent, engine, say)
    except (KeyboardInterrupt, StoreError) as problem:
        if not hasattr(problem, "orbit"):
            raise
        orbit, stopped = problem.orbit, problem  # type: ignore[union-attr]
    try:
        if json:
            print_json(orbit.to_dict())
        else:
            _print(orbit, instance)
    finally:  # a full stdout must not cost the files
        waiting = say if stopped else lambda text: None  # who asked for the end hears what takes seconds
        _write(orbit, instance, out, plot, report, weights, predictions, say, waiting)
    if isinstance(stopped, KeyboardInterrupt):
        how = "with --checkpoint FILE it could go on"
        if checkpoint is not None:
            how = f"the same command goes on from {options.checkpoint}"
            if stopped.__cause__ is not None:
                how = f"it cannot go on, for {stopped.__cause__}"
        end_interrupted(f"interrupted at step {orbit.steps:,} of {options.steps:,}: {how}")
    if stopped is not None:
        raise stopped


def _print(orbit: "Orbit", instance: "Instance") -> None:
    from sterling.dynamics.learned import told
    from sterling.plot.run import problem_line
    from sterling.plot.style import VERDICT_COLOURS

    meaning, rows = told(orbit, instance)
    colour, (_, verdict) = VERDICT_COLOURS[orbit.verdict.name], orbit._rows()[0]
    print_verdict(problem_line(orbit.to_dict()), verdict, colour, sentence(meaning), rows)


def _run(instance: "Instance", options: "Options", latent: "np.ndarray", engine: str, say: Say) -> "Orbit":
    """Start the run, or go on from its checkpoint."""
    from sterling.dynamics.orbit import Orbit
    from sterling.dynamics.train import begin, check_end, go_on

    path = options.checkpoint
    if path is None or not path.exists():
        return begin(instance, options, latent)
    orbit = Orbit.load(path)
    _check_same(orbit, instance, options, latent, engine)
    if "flips" in options.record and not orbit.recorded:
        note(f"warning: {path} holds no flips, so they will not be drawn or saved; start anew to record them")
    if orbit.steps == options.steps:
        check_end(orbit, instance)
        say(f"{path} has all {orbit.steps:,} steps already")
        return orbit
    say(f"going on from {path}, step {orbit.steps:,}")
    return go_on(orbit, instance, options)


def _check_same(
    orbit: "Orbit", instance: "Instance", options: "Options", latent: "np.ndarray", engine: str
) -> None:
    """Refuse a checkpoint of another run than the one asked for, and say what is different."""
    from sterling.dynamics.train import check_belongs

    path, saved = options.checkpoint, orbit.instance
    differences = []
    if saved.get("fingerprint") != instance.fingerprint:
        there, here = (f"n={d['n']}, m={d['m']}, N={d['samples']:,}" for d in (saved, instance.to_dict()))
        differences.append(f"other data ({there}, not {here})" if there != here else f"other data of {here}")
    elif (latent != orbit.start_latent).any():
        differences.append("another --init")
    if orbit.schedule != options.schedule:
        differences.append(f"step sizes {orbit.schedule}")
    if orbit.restart != options.restart:
        differences.append("no restart" if orbit.restart is None else f"the restart {orbit.restart}")
    if orbit._surrogate != options.surrogate:
        differences.append(f"surrogate {orbit.surrogate}")
    if engine not in ("auto", orbit.engine):
        differences.append(f"engine {orbit.engine}")
    if differences:
        raise CheckpointError(
            f"{path} holds another run, with {' and '.join(differences)}: name another file, or give "
            "the options of that run"
        )
    if orbit.steps > options.steps:
        raise CheckpointError(
            f"{path} has {orbit.steps:,} steps already, more than the {options.steps:,} asked for: name "
            "another file, or give more --steps"
        )
    check_belongs(orbit, instance)


def _write(
    orbit: "Orbit",
    instance: "Instance",
    out: Path | None,
    plot: Path | None,
    report: Path | None,
    weights: Path | None,
    predictions: Path | None,
    say: Say,
    waiting: Say,
) -> None:
    """Write what was asked for."""
    from sterling.dynamics.learned import predictions_table, weights_table

    def draw(path: Path) -> None:
        from sterling.plot.run import figure
        from sterling.plot.style import save_figure

        save_figure(figure(orbit), path)

    def tell(path: Path) -> None:
        from sterling.report.run_page import write_run_page

        write_run_page(path, orbit, instance, _command())

    for path, what, write in (
        (out, "run saved", orbit.save),
        (plot, "picture", draw),
        (report, "report", tell),
        (weights, "weights", lambda path: write_table(path, weights_table(orbit))),
        (predictions, "predictions", lambda path: write_table(path, predictions_table(orbit, instance))),
    ):
        if path is not None:
            waiting(f"writing {path} …")
            write(path)
            say(f"{what}: {path}")


def _command() -> str:
    """Return the command that was given, for the page; nothing where it was called from a program."""
    return shlex.join(["sterling", *sys.argv[1:]]) if sys.argv[1:2] == ["train"] else ""
