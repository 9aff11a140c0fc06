"""`sterling certify`: what can be proved for one small data set, drawn or from a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterling.base.files import printable
from sterling.cli import options
from sterling.cli.options import check_targets, load, output, run_option, say_of_train
from sterling.cli.render import FAILED, about, note, print_json, print_verdict, speaker

if TYPE_CHECKING:
    from sterling.landscapes.certificate import Certificate
    from sterling.model.instance import Instance


def certify(
    data: options.Data = None,
    n: options.SmallWidth = None,
    samples: Annotated[int | None, options.samples(1600)] = None,
    m: options.Units = None,
    noise: options.Noise = None,
    readout: options.Readout = None,
    inputs: options.Inputs = None,
    seed: options.Seed = None,
    labels: options.Labels = None,
    keep_constant: options.KeepConstant = False,
    normalize: options.Normalize = "none",
    surrogate: options.PiecewiseConstant = "relu",
    check: Annotated[
        bool,
        run_option("Check the proof against the definition of the gradient, state by state.", "", "--check"),
    ] = False,
    threads: options.Threads = None,
    out: Annotated[Path | None, output("Save the certificate in this file: .json.", "FILE")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Prove for one data set that training keeps returning to the teacher, and that its average is right.

    The proof holds for every start and for all bounded step sizes whose sum is infinite, without damping.
    Without label noise runs come to rest, so give --noise to see recurrence. The data are drawn from a
    problem, or read from FILE; n may be at most 24.
    """
    from sterling.landscapes.certificate import certify as prove

    check_targets(data, (out, "--out", ".json"))
    say = speaker(quiet)
    drawn = {"n": n, "samples": samples, "m": m, "noise": noise, "inputs": inputs, "seed": seed}
    read = {"labels": labels, "keep_constant": keep_constant}
    instance = load(data, drawn, read, readout, normalize, (12, 1600))
    say_of_train(say, data, instance, normalize, surrogate)
    found = prove(instance, surrogate, threads=threads, progress=not quiet)
    holds = found.verify(instance) if check else None
    try:
        if json:
            print_json({**found.to_dict(), "checked": holds})
        else:
            _print(found, instance, holds)
    finally:  # a full stdout must not cost the file
        if out is not None:
            found.save(out)
            say(f"certificate saved: {printable(out)}")
    if holds is False:
        note("error: the check by the definition does not confirm the proof: please report these data")
        raise typer.Exit(FAILED)


def _print(found: "Certificate", instance: "Instance", holds: bool | None) -> None:
    (_, verdict), *rows = found._rows()
    rows.append(
        ("mass", "sum of the step sizes: shares of the mass are shares of time, weighted by step size")
    )
    if holds is not None:
        rows.append(("check by the definition", "holds" if holds else "does not hold"))
    colour = "green" if found.recurrent or found.absorbs else "yellow"
    title = "reference absorbs" if found.absorbs else f"recurrence {verdict}"
    words = found.sentence()
    if instance.teacher is None:
        rows.append(("reference", "the first state of lowest empirical risk"))
    else:
        rows = [(name.replace("reference", "teacher"), text) for name, text in rows]
        title, words = (text.replace("reference", "teacher") for text in (title, words))
    print_verdict(about(instance, found.surrogate), title, colour, words, rows)
