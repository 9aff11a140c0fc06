"""`sterling train`: one run, on a drawn problem or on a data file."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterling.cli.options import (
    check_target,
    parse_bytes,
    parse_count,
    parse_numbers,
    parse_readout,
    parse_start,
)
from sterling.cli.render import INTERRUPTED, announce_kernels, guarded, note, print_json, print_result
from sterling.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit
    from sterling.instance import Instance

N, SAMPLES = 64, 4096


def _panel(title: str):
    """Return a maker of options that `--help` shows under one title."""

    def option(text: str, *names: str, **more):
        return typer.Option(*names, help=text, rich_help_panel=title, **more)

    return option


_problem, _data = _panel("A drawn problem"), _panel("A data file")
_run_option, _output = _panel("The run"), _panel("What comes out")
_COUNT, _LAW, _FILE = {"metavar": "COUNT"}, {"metavar": "LAW"}, {"metavar": "FILE"}
_SURROGATES = "relu, identity, clipped_relu, hard_tanh, sigmoid, approx_sign or swish_sign."
_INPUTS = "gaussian, rademacher, uniform, student_t:4, exponential, shifted:0.5 or ar1:0.5. \\[gaussian]"
_SCHEDULES = "Step sizes: power:RATE,EXPONENT, constant:RATE or table:RATE,RATE,…"


class Normalize(StrEnum):
    none = "none"
    standard = "standard"
    whiten = "whiten"


class Engine(StrEnum):
    auto = "auto"
    event = "event"
    dense = "dense"


@guarded
def train(
    data: Annotated[Path | None, typer.Argument(metavar="FILE", help=".npz, .npy, .csv or .parquet.")] = None,
    n: Annotated[str | None, _problem(f"Inputs, one binary weight each. \\[{N}]", "--n", **_COUNT)] = None,
    samples: Annotated[str | None, _problem(f"Sample size N. \\[{SAMPLES}]", **_COUNT)] = None,
    m: Annotated[str | None, _problem("Hidden units that share the weights. \\[1]", "--m", **_COUNT)] = None,
    noise: Annotated[float | None, _problem("Standard deviation of the label noise. \\[0]")] = None,
    readout: Annotated[
        str | None, _problem("ones, signs, gaussian, or numbers: 1,-1,0.5. \\[ones]", **_LAW)
    ] = None,
    inputs: Annotated[str | None, _problem(_INPUTS, **_LAW)] = None,
    seed: Annotated[str | None, _problem("Names the draw. \\[0]", metavar="SEED")] = None,
    labels: Annotated[
        str | None,
        _data("Column of the labels, by name or number. \\[label, y, or the last]", metavar="COLUMN"),
    ] = None,
    precision: Annotated[
        str | None, _data("int16, or int32 for finer inputs. \\[int16]", metavar="TYPE")
    ] = None,
    keep_constant: Annotated[
        bool, _data("Keep columns of one value, such as a bias.", "--keep-constant")
    ] = False,
    normalize: Annotated[Normalize, _run_option("What is done to the inputs first.")] = Normalize.none,
    steps: Annotated[str, _run_option("Steps: 1000000, 1_000_000, 1e6 or 1M.", **_COUNT)] = "1e6",
    schedule: Annotated[str, _run_option(_SCHEDULES, metavar="SCHEDULE")] = "power:0.5,0.5",
    surrogate: Annotated[str, _run_option(_SURROGATES, metavar="NAME")] = "relu",
    init: Annotated[str, _run_option("Start: a seed, or latent weights: 0.1,-0.2.", metavar="SEED")] = "0",
    engine: Annotated[
        Engine, _run_option("From flip to flip, or every step; the same result.")
    ] = Engine.auto,
    threads: Annotated[
        int | None, _run_option("The result does not depend on it. \\[all cores]", min=1, metavar="COUNT")
    ] = None,
    cache: Annotated[
        str | None, _run_option("Memory for visited states, such as 512MB. \\[1GiB]", metavar="SIZE")
    ] = None,
    plot: Annotated[Path | None, _output("Draw the run: .png, .svg or .pdf.", **_FILE)] = None,
    out: Annotated[Path | None, _output("Save the run, for Orbit.load and resume.", **_FILE)] = None,
    checkpoint: Annotated[
        Path | None, _output("Save the run on the way, and go on from FILE if it is there.", **_FILE)
    ] = None,
    checkpoint_every: Annotated[float, _output("Time between two saves.", metavar="SECONDS")] = 20.0,
    record: Annotated[
        bool, _output("Record every flip; --plot and --out do so as well.", "--record")
    ] = False,
    json: Annotated[bool, _output("Print the result as JSON.", "--json")] = False,
    quiet: Annotated[bool, _output("Show no progress and no notes.", "--quiet", "-q")] = False,
) -> None:
    """Train a two-layer network of binary weights, and say what became of it.

    The data are drawn from a problem, or read from FILE. Ctrl-C ends the run early: the results so far are
    shown, and the exit code is 130. With --checkpoint the same command goes on from there.
    """
    from sterling.plot import picture_format
    from sterling.schedules import parse_schedule

    if plot is not None:
        picture_format(plot)
    for path, option in ((plot, "--plot"), (out, "--out"), (checkpoint, "--checkpoint")):
        check_target(path, option)
    planned = parse_count(steps, "--steps")
    settings = {
        "schedule": parse_schedule(schedule),
        "surrogate": surrogate,
        "init": parse_start(init),
        "engine": engine.value,
        "record": ("flips",) if record or plot or out else (),
    }
    common = {
        "progress": not quiet,
        "threads": threads,
        "cache_bytes": None if cache is None else parse_bytes(cache, "--cache"),
        "checkpoint": checkpoint,
        "checkpoint_every": checkpoint_every,
    }
    given = {"n": n, "samples": samples, "m": m, "noise": noise, "inputs": inputs, "seed": seed}
    normal = None if normalize is Normalize.none else normalize.value
    if not quiet:
        announce_kernels()
    if data is None:
        for option, value in (
            ("--labels", labels),
            ("--precision", precision),
            ("--keep-constant", keep_constant),
        ):
            if value:
                raise InputError(f"{option} is for a data file, and none is given: name the file, or drop it")
        instance = _draw(given, readout, normal)
    else:
        instance = _read(data, given, labels, readout, normal, precision, keep_constant)
    orbit = _run(instance, planned, settings, common, say=not quiet)
    if json:
        print_json(orbit.to_dict())
    else:
        print_result(orbit)
    _write(orbit, plot, out, say=not quiet)
    if orbit.interrupted:
        how = (
            f"the same command goes on from {checkpoint}"
            if checkpoint
            else "with --checkpoint FILE it could go on"
        )
        note(f"interrupted at step {orbit.steps:,} of {planned:,}: {how}")
        raise typer.Exit(INTERRUPTED)


def _draw(given: dict, readout: str | None, normalize: str | None) -> "Instance":
    from sterling.problem import Problem

    def count(name: str, default: int) -> int:
        return default if given[name] is None else parse_count(given[name], f"--{name}")

    problem = Problem(
        n=count("n", N),
        samples=count("samples", SAMPLES),
        m=count("m", 1),
        noise=given["noise"] or 0.0,
        readout="ones" if readout is None else parse_readout(readout),
        inputs=given["inputs"] or "gaussian",
        normalize=normalize,
    )
    return problem.draw(count("seed", 0))


def _read(data, given, labels, readout, normalize, precision, keep_constant) -> "Instance":
    from sterling.data import load_data

    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"--{name} describes a drawn problem, but the data come from {data}: drop one of them"
            )
    return load_data(
        data,
        labels=labels,
        normalize=normalize,
        readout=None if readout in (None, "ones") else parse_numbers(readout, "--readout"),
        precision=precision or "int16",
        constant="keep" if keep_constant else "refuse",
    )


def _run(instance: "Instance", planned: int, settings: dict, common: dict, say: bool) -> "Orbit":
    """Start the run, or go on from its checkpoint."""
    from sterling.dynamics.train import resume, train

    path = common["checkpoint"]
    if path is None or not path.exists():
        return train(instance, planned, **settings, **common)
    from sterling.dynamics.orbit import Orbit

    orbit = Orbit.load(path)
    _check_same(orbit, instance, planned, settings, path)
    if settings["record"] and not orbit.recorded:
        note(f"warning: {path} holds no flips, so they will not be drawn or saved; start anew to record them")
    if orbit.steps == planned:
        if say:
            note(f"{path} has all {planned:,} steps already")
        return orbit
    if say:
        note(f"going on from {path}, step {orbit.steps:,}")
    return resume(orbit, instance, planned - orbit.steps, **common)


def _check_same(orbit: "Orbit", instance: "Instance", planned: int, settings: dict, path: Path) -> None:
    """Refuse a checkpoint of another run than the one asked for, and say what is different."""
    import numpy as np

    from sterling.dynamics.train import initial_latent
    from sterling.surrogates import get_surrogate

    saved = orbit.instance
    start = initial_latent(instance.n, settings["init"])
    wanted, engine = get_surrogate(settings["surrogate"]).name, settings["engine"]
    differences = []
    if saved.get("fingerprint") != instance.fingerprint:
        there, here = (f"n={d['n']}, m={d['m']}, N={d['samples']:,}" for d in (saved, instance.to_dict()))
        differences.append(f"other data ({there}, not {here})" if there != here else f"other data of {here}")
    elif not np.array_equal(start, orbit.start_latent):
        differences.append("another --init")
    if orbit.schedule != settings["schedule"]:
        differences.append(f"step sizes {orbit.schedule}")
    if orbit.surrogate != wanted:
        differences.append(f"surrogate {orbit.surrogate}")
    if engine not in ("auto", orbit.engine):
        differences.append(f"engine {orbit.engine}")
    if differences:
        raise CheckpointError(
            f"{path} holds another run, with {' and '.join(differences)}: name another file, or give "
            "the options of that run"
        )
    if orbit.steps > planned:
        raise CheckpointError(
            f"{path} has {orbit.steps:,} steps already, more than the {planned:,} asked for: name another "
            "file, or give more --steps"
        )


def _write(orbit: "Orbit", plot: Path | None, out: Path | None, say: bool) -> None:
    if out is not None:
        orbit.save(out)
        if say:
            note(f"run saved: {out}")
    if plot is not None:
        from sterling.plot import figure, save_figure

        save_figure(figure(orbit), plot)
        if say:
            note(f"picture: {plot}")
