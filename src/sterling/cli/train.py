"""`sterling train`: one run, on a drawn problem or on a data file."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zipfile import BadZipFile, ZipFile

from sterling.base.files import printable, write_atomically
from sterling.cli import options
from sterling.cli.options import PAGES, PICTURES, TABLES, check_targets, load, output, run_option, start
from sterling.cli.render import command_of, note, print_json, print_verdict, speaker, write_table
from sterling.errors import CheckpointError, InputError, StoreError

if TYPE_CHECKING:
    import numpy as np

    from sterling.dynamics.options import Options
    from sterling.dynamics.orbit import Orbit
    from sterling.model.instance import Instance


_LEVELS = "Number of values that a weight can take, 2 to 16: 2 are ±1, 3 are −1, 0, 1."
_PREDICTIONS = "Write the predictions of these weights for each sample: .csv or .parquet."
_RESTART = "Ergodic restart: every EVERY steps, go back to the time average times SCALE: 300,0.05."
_OPTIMIZER = (
    "Optimiser, with its options in brackets: sgd (momentum, clip, decay, damping, band), adam (betas, eps, "
    "clip, decay, damping), lion (betas, decay), signsgd or bop (gamma, threshold). Write sgd:damping=0.5 or "
    "adam:betas=0.9/0.99,clip=1. Damping θ, band and threshold are in units of S, the mean pull on one wrong "
    "weight."
)
_BATCH = "Samples of one step: SIZE, or SIZE,replace to draw each one independently. \\[all]"
_INIT = "Start of the run: a random seed, or latent weights such as 0.1,-0.2. \\[0]"
_ENGINE = "Engine: event (from flip to flip), step or dense (every step), or auto: the fastest."
_WEIGHTS = "Write the last weights, the time average and the weights decoded from it: .csv or .parquet."
_CHECKPOINT = "Save the run in this file at intervals, and continue from it if it exists."


def train(
    data: options.Data = None,
    n: options.Width = None,
    samples: Annotated[int | None, options.samples(4096)] = None,
    m: options.Units = None,
    noise: options.Noise = None,
    readout: options.Readout = None,
    inputs: options.Inputs = None,
    seed: options.Seed = None,
    labels: options.Labels = None,
    keep_constant: options.KeepConstant = False,
    normalize: options.OwnNormalize = None,
    levels: Annotated[int, run_option(_LEVELS, "COUNT")] = 2,
    steps: Annotated[
        int, run_option("Number of steps, such as 1000000, 1_000_000 or 1e6.", "COUNT")
    ] = 1_000_000,
    schedule: Annotated[str | None, run_option(*options.TRAIN_SCHEDULE)] = None,
    surrogate: options.OwnSurrogate = None,
    restart: Annotated[str | None, run_option(_RESTART, "EVERY,SCALE")] = None,
    optimizer: Annotated[str, run_option(_OPTIMIZER, "NAME")] = "sgd",
    batch: Annotated[str | None, run_option(_BATCH, "SIZE")] = None,
    batch_seed: Annotated[int | None, run_option("Random seed of the batches. \\[0]", "SEED")] = None,
    init: Annotated[Any, run_option(_INIT, "SEED", parser=start)] = None,
    engine: Annotated[str, run_option(_ENGINE, "NAME")] = "auto",
    threads: options.Threads = None,
    plot: Annotated[Path | None, output("Draw the run in this file: .png, .svg or .pdf.", "FILE")] = None,
    report: Annotated[
        Path | None, output("Write a page about the run, with its returns to the teacher: .html.", "FILE")
    ] = None,
    weights: Annotated[Path | None, output(_WEIGHTS, "FILE")] = None,
    predictions: Annotated[Path | None, output(_PREDICTIONS, "FILE")] = None,
    out: Annotated[Path | None, output("Save the run, for Orbit.load and resume.", "FILE")] = None,
    checkpoint: Annotated[Path | None, output(_CHECKPOINT, "FILE")] = None,
    checkpoint_every: Annotated[float, output("Seconds between two checkpoints.", "SECONDS")] = 20,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a two-layer network with binary or other quantised weights, and report how the run ended.

    The data are drawn from a problem, or read from FILE. The inputs of a file are standardised, and the
    surrogate is identity, unless the file holds a teacher. Ctrl-C stops the run with exit code 130 and shows
    the results so far. With --checkpoint, the same command continues the run.
    """
    from sterling.base import checks
    from sterling.dynamics.learned import outcome, predictions_table, problem_line, weights_table
    from sterling.dynamics.options import Options, initial_latent
    from sterling.dynamics.restart import as_restart
    from sterling.dynamics.run import begin
    from sterling.optimizers.batch import as_batch
    from sterling.plot.style import VERDICT_COLOURS
    from sterling.schedules import parse_schedule

    check_targets(
        data,
        (plot, "--plot", *PICTURES),
        (report, "--report", *PAGES),
        (weights, "--weights", *TABLES),
        (predictions, "--predictions", *TABLES),
        (out, "--out"),
        (checkpoint, "--checkpoint"),
    )
    if batch_seed is not None and batch is None:
        raise InputError("--batch-seed needs --batch: give --batch SIZE too, or drop --batch-seed")
    if batch_seed is not None:
        checks.integer(batch_seed, "batch_seed", 0)
    say = speaker(quiet)
    normalize, surrogate, usual = _usual(data, normalize, surrogate, keep_constant)
    settings = Options(
        steps=steps,
        schedule=None if schedule is None else parse_schedule(schedule),  # type: ignore[arg-type]
        surrogate=surrogate,  # type: ignore[arg-type]
        restart=None if restart is None else as_restart(restart),
        optimizer=optimizer,  # type: ignore[arg-type]
        batch=None if batch is None else as_batch(batch),
        seed=batch_seed or 0,
        engine=engine,
        record=("recurrence", *(("flips",) if plot or report or out else ())),
        progress=not quiet,
        threads=threads,  # type: ignore[arg-type]
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
    )
    drawn = {"n": n, "samples": samples, "m": m, "noise": noise, "inputs": inputs, "seed": seed}
    read = {"labels": labels, "keep_constant": keep_constant}
    instance = load(data, drawn, read, readout, normalize, levels=levels)
    if usual:
        say(usual)
    latent = initial_latent(instance.n, 0 if init is None else init, instance.levels)
    stopped: BaseException | None = None
    try:
        if settings.checkpoint is not None and settings.checkpoint.exists():
            orbit = _go_on(instance, settings, latent, say)
        else:
            if not settings.plain:
                _say_choices(settings.for_data(instance), schedule is None, say)
            orbit = begin(instance, settings, latent)
    except (KeyboardInterrupt, StoreError) as problem:
        if not hasattr(problem, "orbit"):
            raise
        orbit, stopped = problem.orbit, problem  # type: ignore[union-attr]
    try:
        if json:
            print_json(orbit.to_dict())
        else:
            meaning, rows = outcome(orbit, instance)
            if weights is None and "the time average" in meaning:
                meaning += " --weights FILE writes the time average and the weights decoded from it."
            colour, (_, verdict) = VERDICT_COLOURS[orbit.verdict.name], orbit._rows()[0]
            print_verdict(problem_line(orbit), verdict, colour, meaning, rows)
    finally:  # a full stdout must not cost the files
        for what, path, write in (
            ("run saved", out, orbit.save),
            ("picture", plot, partial(_draw, orbit)),
            ("report", report, partial(_report, orbit, instance)),
            ("weights", weights, lambda path: write_table(path, weights_table(orbit))),
            ("predictions", predictions, lambda path: write_table(path, predictions_table(orbit, instance))),
        ):
            if path is not None:
                write(path)
                say(f"{what}: {path}")
    if isinstance(stopped, KeyboardInterrupt):
        how = "use --checkpoint FILE to be able to continue"
        if stopped.__cause__ is not None:
            how = f"it cannot be continued: {stopped.__cause__}"
        elif checkpoint is not None:
            how = f"the same command continues from {printable(checkpoint)}"
        raise KeyboardInterrupt(f"interrupted at step {orbit.steps:,} of {steps:,}: {how}")
    if stopped is not None:
        raise stopped


def _usual(
    data: Path | None,
    normalize: str | None,
    surrogate: str | None,
    constant: bool,
) -> tuple[str, str, str]:
    """Return the normalisation and the surrogate, and a note where they follow from the data file."""
    if data is None or _holds_teacher(data):
        return normalize or "none", surrogate or "relu", ""
    method = "none" if constant else "standard"  # a constant column cannot be standardised
    chosen = [f"--normalize {method}"] if normalize is None else []
    chosen += ["--surrogate identity"] if surrogate is None else []
    words = f"for a data file sterling takes {' '.join(chosen)}: give other values to change that"
    return normalize or method, surrogate or "identity", words if chosen else ""


def _holds_teacher(path: Path) -> bool:
    """Whether an archive of arrays names the weights that made its labels."""
    with suppress(OSError, ValueError, BadZipFile):
        return path.suffix.lower() == ".npz" and "teacher.npy" in ZipFile(path).namelist()
    return False


def _go_on(
    instance: "Instance", settings: "Options", latent: "np.ndarray", say: Callable[[str], None]
) -> "Orbit":
    from sterling.dynamics.orbit import Orbit
    from sterling.dynamics.run import check_belongs, go_on

    path, engine = settings.checkpoint, settings.engine
    assert path is not None
    orbit = Orbit.load(path)
    check_belongs(orbit, instance)
    # Flips depend on the bits of S, which another machine may round differently.
    settings = replace(settings, signal=orbit._course.options.signal).for_data(instance)
    _check_same(orbit, settings, latent, engine)
    if "flips" in settings.record and not orbit.recorded:
        note(f"warning: {path} holds no flips, so none will be drawn or saved; start anew to record them")
    if orbit.steps == settings.steps:
        say(f"{path} has all {orbit.steps:,} steps already")
        return orbit
    say(f"continuing from {path}, step {orbit.steps:,}")
    return go_on(orbit, instance, settings)


def _say_choices(settings: "Options", usual: bool, say: Callable[[str], None]) -> None:
    """Say where a batch is the full one, and which step size a damped run takes as ``usual``."""
    from sterling.base.text import number
    from sterling.dynamics.options import BATCH_MEMORY, FULL_MEMORY

    if settings.whole is not None:
        size = settings.whole.size
        say(f"--batch {size}: the data have no more samples, so every step uses all of them (full batch)")
    optimizer = settings.optimizer
    if usual and optimizer.damping > 0 and not optimizer.scale_free:
        memory = FULL_MEMORY if settings.batch is None else BATCH_MEMORY
        rate = settings.schedule.at(0)
        size = f"1/({memory} θS)" if settings.levels == 2 else f"Δ/2 · 1/({memory} θS)"
        say(
            f"the run is damped, so its step size is {size}, as --schedule constant:{rate!r} gives: θ is the "
            f"damping, {optimizer.damping:g}, and S the mean pull on one wrong weight, "
            f"{number(settings.signal)} for these data"
        )


def _check_same(orbit: "Orbit", settings: "Options", latent: "np.ndarray", engine: str) -> None:
    """Raise CheckpointError if the checkpoint belongs to another run than the one asked for."""
    from sterling.study.kind import schedule_text

    path = settings.checkpoint
    differences = ["another --init"] if (latent != orbit.start_latent).any() else []
    for name, there, here in (
        ("optimizer", orbit.optimizer, settings.optimizer),
        ("batch", orbit.batch, settings.batch),
        ("batch seed", orbit.seed if orbit.batch else settings.seed, settings.seed),
        ("schedule", orbit.schedule, settings.schedule),
        ("restart", orbit.restart, settings.restart),
        ("surrogate", orbit.surrogate, settings.surrogate.name),
        ("engine", orbit.engine, orbit.engine if engine == "auto" else engine),
    ):
        if there != here:
            if name == "schedule":
                there = f"{schedule_text(orbit.schedule):.60}"
            differences.append(f"no {name}" if there is None else f"{name} {there}")
    if differences:
        raise CheckpointError(
            f"{path} holds another run, with {' and '.join(differences)}: name another file, or give "
            "the options of that run"
        )
    if orbit.steps > settings.steps:
        raise CheckpointError(
            f"{path} has {orbit.steps:,} steps already, more than the {settings.steps:,} asked for: name "
            "another file, or give more --steps"
        )


def _draw(orbit: "Orbit", path: Path) -> None:
    from sterling.plot.run import figure
    from sterling.plot.style import save_figure

    save_figure(figure(orbit), path)


def _report(orbit: "Orbit", instance: "Instance", path: Path) -> None:
    from sterling.report.run_page import run_page

    write_atomically(path, run_page(orbit, instance, command_of("train")).encode())
