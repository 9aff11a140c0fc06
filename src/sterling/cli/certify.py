"""`sterling certify`: what can be proved for one small data set, drawn or from a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterling.base.files import printable
from sterling.cli.options import (
    COUNT,
    FILE,
    DataFile,
    Inputs,
    KeepConstant,
    Labels,
    Noise,
    Normalize,
    Precision,
    Readout,
    Seed,
    Units,
    check_targets,
    choose_instance,
    given_count,
    panel,
    problem_option,
)
from sterling.cli.render import FAILED, announce_kernels, facts_table, guarded, note, print_json
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.model.instance import Instance
    from sterling.states.certificate import Certificate

N, SAMPLES = 12, 1600

_proof, _output = panel("The proof"), panel("What comes out")


@guarded
def certify(
    data: DataFile = None,
    n: Annotated[
        str | None, problem_option(f"Inputs, one binary weight each, at most 24. \\[{N}]", "--n", **COUNT)
    ] = None,
    samples: Annotated[str | None, problem_option(f"Sample size N. \\[{SAMPLES}]", **COUNT)] = None,
    m: Units = None,
    noise: Noise = None,
    readout: Readout = None,
    inputs: Inputs = None,
    seed: Seed = None,
    labels: Labels = None,
    precision: Precision = None,
    keep_constant: KeepConstant = False,
    normalize: Annotated[Normalize, _proof("What is done to the inputs first.")] = Normalize.none,
    surrogate: Annotated[str, _proof("relu, identity, clipped_relu or hard_tanh.", metavar="NAME")] = "relu",
    check: Annotated[
        bool, _proof("Check the proof by the definition of the gradient, state by state.", "--check")
    ] = False,
    threads: Annotated[
        int | None, _proof("The result does not depend on it. \\[all cores]", min=1, metavar="COUNT")
    ] = None,
    out: Annotated[Path | None, _output("Save the certificate: .json.", **FILE)] = None,
    json: Annotated[bool, _output("Print the certificate as JSON.", "--json")] = False,
    quiet: Annotated[bool, _output("Show no progress and no notes.", "--quiet", "-q")] = False,
) -> None:
    """Prove for one data set that training returns to the teacher for ever, and that its average is right.

    The proof holds for every start and for all bounded step sizes whose sum is infinite. The data are drawn
    from a problem, or read from FILE; n may be at most 24.
    """
    from sterling.states.certificate import certify as prove
    from sterling.states.landscape import check_dimension, check_surrogate

    if out is not None and out.suffix.lower() != ".json":
        raise InputError(f"--out is {printable(out)}; its name must end in .json")
    check_targets({"--out": out}, data)
    check_surrogate(surrogate)
    if data is None:
        check_dimension(given_count(n, "--n", N))
    drawn = {"n": n, "samples": samples, "m": m, "noise": noise, "inputs": inputs, "seed": seed}
    read = {"labels": labels, "precision": precision, "keep_constant": keep_constant}
    if not quiet:
        announce_kernels()
    instance = choose_instance(data, drawn, read, readout, normalize, (N, SAMPLES))
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
            if not quiet:
                note(f"certificate saved: {printable(out)}")
    if holds is False:
        note("error: the check by the definition does not confirm the proof: please report these data")
        raise typer.Exit(FAILED)


def _print(found: "Certificate", instance: "Instance", holds: bool | None) -> None:
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.text import Text

    (_, verdict), *rows = found.summary()
    if holds is not None:
        rows.append(("checked by the definition", "holds" if holds else "does not hold"))
    colour = "green" if found.recurrent or found.absorbs else "yellow"
    frame = Panel(
        Group(Text(f"{found.sentence()}\n", "italic"), facts_table(rows)),
        title=Text(f"recurrence {verdict}", f"bold {colour}"),
        title_align="left",
        border_style=colour,
        padding=(1, 2),
        expand=False,
    )
    line = f"n = {instance.n} · N = {instance.samples:,} · m = {instance.m} · surrogate {found.surrogate}"
    Console().print(Group(Text(line, "dim"), frame))
