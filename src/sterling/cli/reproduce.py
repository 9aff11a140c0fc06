"""`sterling reproduce`: the claims of the paper, measured; a table, a page, and the raw rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterling.cli import options
from sterling.cli.options import check_targets, make_folder, output, run_option
from sterling.cli.render import command_of, console, print_json, speaker

if TYPE_CHECKING:
    from sterling.claims.reproduce import Reproduction

FOLDER = Path("out") / "reproduce"
ROOT = 2026  # seed


def reproduce(
    quick: Annotated[bool, run_option("Measure few trials, which takes minutes.", "", "--quick")] = False,
    only: Annotated[
        list[str] | None,
        run_option("Measure these claims only: P1,P3 or --only P1 --only P3. \\[all]", "KEYS"),
    ] = None,
    threads: options.Threads = None,
    seed: Annotated[int, run_option("Random seed, from which all others follow.", "SEED")] = ROOT,
    out: Annotated[Path, output("Folder for the page and the rows.", "DIR", "-o", "--out")] = FOLDER,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure every claim of the paper, and compare each with theory.

    The results in DIR are a page for a browser (index.html), the numbers (findings.json) and the raw rows
    (data). The page appears with the first claim. Ctrl-C stops with exit code 130 and shows the finished
    claims; the same command continues.
    """
    from sterling.base.progress import reporting
    from sterling.claims.catalogue import CLAIMS
    from sterling.claims.reproduce import chosen
    from sterling.claims.reproduce import reproduce as measure
    from sterling.report.page import PAGE, Page
    from sterling.report.terminal import judged
    from sterling.study.cluster import open_workers

    effort = "quick" if quick else "default"
    asked = only and [key for text in only for key in text.split(",") if key.strip()]
    keys = chosen(asked, "--only")
    make_folder(out, "--out")
    check_targets(None, (out / PAGE, "the page in --out"))
    speaker(quiet)
    command = command_of("reproduce") or "sterling reproduce"
    page = Page(out, effort, seed, command)
    with reporting(not quiet) as shown:

        def keep(report: "Reproduction") -> None:
            page.add(report.findings[-1])
            page.write([(key, CLAIMS[key].title) for key in keys[len(report.findings) :]], finished=False)
            if shown is not None:
                shown.say(judged(report.findings[-1]))

        stopped = None
        try:
            with open_workers(threads) as (executor, count):
                given = {"effort": effort, "threads": count, "executor": executor, "only": keys, "seed": seed}
                report = measure(out, progress=shown or False, on_finding=keep, **given)
        except KeyboardInterrupt as stop:
            report, stopped = stop.reproduction, stop  # type: ignore[attr-defined]
    missing = keys[len(report.findings) :]
    page.write([(key, CLAIMS[key].title) for key in missing])
    if json:
        print_json({**page.to_dict(), "interrupted": stopped is not None, "folder": str(out)})
    else:
        _print_results(report, out)
    if stopped is not None:
        missed = ", ".join(missing) or "nothing"
        raise KeyboardInterrupt(f"interrupted; missing: {missed}. Continue with: {command}")


def _print_results(report: "Reproduction", folder: Path) -> None:
    from sterling.base.text import counted, readable_time
    from sterling.report.page import EXPLORABLE, NUMBERS, PAGE, RAW
    from sterling.report.terminal import table

    if report.findings:
        console(unbroken=False).print(table(report.findings))
    typer.echo(
        f"{counted(len(report.findings), 'claim')}, effort {report.effort}, {readable_time(report.seconds)}"
    )
    typer.echo(f"numbers: {folder / NUMBERS}")
    typer.echo(f"rows:    {folder / RAW}")
    typer.echo(f"Open {folder / PAGE} in a browser; from there, {EXPLORABLE} shows runs as they happen.")
