"""`sterling certify`: what can be proved for one small data set, drawn or from a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterling.base.files import printable
from sterling.cli.options import (
    FILE,
    Json,
    PiecewiseConstant,
    Quiet,
    SmallSource,
    Threads,
    check_targets,
    output,
    parse_count,
    run_option,
    with_source,
)
from sterling.cli.render import FAILED, about, guarded, note, print_json, print_verdict, speaker

if TYPE_CHECKING:
    from sterling.landscapes.certificate import Certificate
    from sterling.model.instance import Instance


@guarded
@with_source(SmallSource)
def certify(
    source: SmallSource,
    surrogate: PiecewiseConstant = "relu",
    check: Annotated[
        bool, run_option("Check the proof by the definition of the gradient, state by state.", "--check")
    ] = False,
    threads: Threads = None,
    out: Annotated[Path | None, output("Save the certificate: .json.", **FILE)] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prove for one data set that training returns to the teacher for ever, and that its average is right.

    The proof holds for every start and for all bounded step sizes whose sum is infinite. Without label noise
    runs come to rest, so give --noise to see recurrence. The data are drawn from a problem, or read from
    FILE; n may be at most 24.
    """
    from sterling.landscapes.certificate import certify as prove

    check_targets(source.data, (out, "--out", ".json"))
    cores = parse_count(threads, "--threads", least=1)
    source.check(surrogate)
    say = speaker(quiet)
    instance = source.instance()
    found = prove(instance, surrogate, threads=cores, progress=not quiet)
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
    known = instance.teacher is not None
    home = "the teacher, which made the labels" if known else "the first state of lowest empirical risk"
    rows += [
        ("reference", home),
        ("mass", "the sum of the step sizes: shares of it are of time weighted by step size"),
    ]
    if holds is not None:
        rows.append(("checked by the definition", "holds" if holds else "does not hold"))
    colour = "green" if found.recurrent or found.absorbs else "yellow"
    title = "reference absorbs" if found.absorbs else f"recurrence {verdict}"
    print_verdict(about(instance, found.surrogate), title, colour, found.sentence(), rows)
