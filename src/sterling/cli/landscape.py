"""`sterling landscape`: every state of a small instance, drawn or from a data file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sterling.cli import options
from sterling.cli.options import PICTURES, check_targets, load, output, run_option, say_of_train
from sterling.cli.render import about, print_json, print_verdict, speaker

if TYPE_CHECKING:
    from sterling.landscapes.landscape import Landscape


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
    keep_constant: options.KeepConstant = False,
    normalize: options.Normalize = "none",
    surrogate: options.PiecewiseConstant = "relu",
    damping: Annotated[
        float,
        run_option("Damping of the runs, in units of the pull on one wrong weight.", "THETA"),
    ] = 0.0,
    threads: options.Threads = None,
    plot: Annotated[
        Path | None, output("Draw loss against distance to the teacher: .png, .svg or .pdf.", "FILE")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Visit all 2ⁿ weight vectors of a small network, and find those that training can never leave.

    The data are drawn from a problem, or read from FILE; n may be at most 24. Ctrl-C stops with exit
    code 130.
    """
    from sterling.landscapes.landscape import landscape as visit

    check_targets(data, (plot, "--plot", *PICTURES))
    say = speaker(quiet)
    drawn = {"n": n, "samples": samples, "m": m, "noise": noise, "inputs": inputs, "seed": seed}
    read = {"labels": labels, "keep_constant": keep_constant}
    instance = load(data, drawn, read, readout, normalize, (12, 200))
    say_of_train(say, data, instance, normalize, surrogate)
    found = visit(instance, surrogate, damping=damping, threads=threads, progress=not quiet)
    try:
        if json:
            print_json(found.to_dict())
        else:
            _print(found)
    finally:  # a full stdout must not cost the file
        if plot is not None:
            _draw(found, plot)
            say(f"picture: {plot}")


def _print(found: "Landscape") -> None:
    (_, verdict), *rows = found._rows()
    colour = "green" if found.trap_free else "red"
    damped = f" · damping {found.damping:g}" if found.damping else ""
    print_verdict(about(found.instance, found.surrogate) + damped, verdict, colour, found.sentence(), rows)


def _draw(found: "Landscape", path: Path) -> None:
    from matplotlib.figure import Figure

    from sterling.plot.landscape import loss_by_distance
    from sterling.plot.style import save_figure

    figure = Figure((8, 5), layout="constrained")
    ax = figure.add_subplot()
    ax.set_title(loss_by_distance(ax, found), loc="left", fontsize=9.5, wrap=True)
    save_figure(figure, path)
