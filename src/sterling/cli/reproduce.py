"""`sterling reproduce`: the claims of the paper, measured; a table, a page, and the raw rows."""

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sterling.cli.options import (
    Json,
    Quiet,
    Threads,
    check_target,
    make_folder,
    output,
    parse_count,
    run_option,
)
from sterling.cli.presses import settle
from sterling.cli.render import console, end_interrupted, guarded, print_json, speaker
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.claims.reproduce import Reproduction
    from sterling.report.page import Page

FOLDER = Path("out") / "reproduce"
SEED = 2026


@guarded
def reproduce(
    quick: Annotated[bool, run_option("Small samples: minutes.", "--quick")] = False,
    full: Annotated[bool, run_option("Narrow intervals: hours.", "--full")] = False,
    only: Annotated[
        list[str] | None,
        run_option("Only these claims: P1,P3 or --only P1 --only P3. \\[all]", metavar="KEYS"),
    ] = None,
    threads: Threads = None,
    seed: Annotated[str, run_option("The root of all seeds.", metavar="SEED")] = str(SEED),
    out: Annotated[
        Path, output("Where to put the page and the rows.", "-o", "--out", metavar="DIR")
    ] = FOLDER,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure every claim of the paper, and show each beside what theory says.

    DIR gets a page to open in a browser (index.html), the numbers (findings.json) and the raw rows (data).
    The page is there from the first claim on. Ctrl-C ends the run with what there is, exit code 130; the
    same command goes on from there.
    """
    from sterling.claims.reproduce import chosen
    from sterling.report.page import PAGE, Page

    if quick and full:
        raise InputError("--quick and --full exclude each other: give one of them")
    effort = "quick" if quick else "full" if full else "default"
    root = parse_count(seed, "--seed", least=0)
    asked = only and [key for text in only for key in text.split(",") if key.strip()]
    keys = chosen(asked, "--only")
    make_folder(out, "--out")
    check_target(out / PAGE, "the page in --out")
    speaker(quiet)
    command = command_line(effort, keys, root, out)
    page = Page(out, effort, root, command)
    cores = parse_count(threads, "--threads", least=1)
    report, interrupted = run(out, effort, keys, cores, root, page, quiet)
    missing = keys[len(report.findings) :]
    if interrupted:
        settle()  # in a moment all is said
    page.write(_titles(missing))
    if json:
        print_json({**page.to_dict(), "interrupted": interrupted, "folder": str(out)})
    else:
        _print_results(report, out)
    if interrupted:
        end_interrupted(f"interrupted; missing: {', '.join(missing) or 'nothing'}. {command} goes on")


def run(
    folder: Path, effort: str, keys: list[str], threads: int | None, seed: int, page: "Page", quiet: bool
) -> "tuple[Reproduction, bool]":
    """Measure the claims and keep the page in step; return what there is, and whether Ctrl-C ended it."""
    from sterling.base.progress import display
    from sterling.claims.reproduce import reproduce
    from sterling.report.terminal import judged

    with nullcontext() if quiet else display() as shown:

        def keep(report: "Reproduction") -> None:
            page.add(report.findings[-1])
            page.write(_titles(keys[len(report.findings) :]), finished=False)
            if shown is not None:
                shown.say(judged(report.findings[-1]))

        try:
            given = {"effort": effort, "threads": threads, "only": keys, "seed": seed}
            return reproduce(folder, progress=shown or False, on_finding=keep, **given), False
        except KeyboardInterrupt as stop:
            return stop.reproduction, True  # type: ignore[attr-defined]


def _titles(keys: list[str]) -> list[tuple[str, str]]:
    from sterling.claims.catalogue import CLAIMS

    return [(key, CLAIMS[key].title) for key in keys]


def command_line(effort: str, keys: list[str], seed: int, out: Path) -> str:
    """Return the command that gives the same numbers."""
    from sterling.claims.catalogue import CLAIMS

    words = ["sterling", "reproduce"]
    if effort != "default":
        words.append(f"--{effort}")
    if keys != list(CLAIMS):
        words += ["--only", ",".join(keys)]
    if seed != SEED:
        words += ["--seed", str(seed)]
    if out != FOLDER:
        words += ["-o", str(out)]
    return shlex.join(words)


def _print_results(report: "Reproduction", folder: Path) -> None:
    from sterling.base.text import counted, readable_time
    from sterling.report.page import EXPLORABLE, NUMBERS, PAGE, RAW
    from sterling.report.terminal import table

    console().print(table(report.findings))
    typer.echo(
        f"{counted(len(report.findings), 'claim')}, effort {report.effort}, {readable_time(report.seconds)}"
    )
    typer.echo(f"numbers: {folder / NUMBERS}")
    typer.echo(f"rows:    {folder / RAW}")
    typer.echo(f"Open {folder / PAGE} in a browser; it leads to {EXPLORABLE}, where you watch runs happen.")
