"""`sterling doctor`: what is installed, and whether it works."""

import typer

from sterling.cli import options
from sterling.cli.render import FAILED, console, facts_table, print_json, speaker


def doctor(json: options.Json = False) -> None:
    """Report what is installed, and whether it works.

    sterling runs both engines on small instances, and exits with 1 if their orbits differ. It recompiles
    damaged kernels.
    """
    from sterling.cli.doctor_findings import examine

    speaker(quiet=False)
    report = examine()
    if json:
        print_json(report)
    else:
        _print(report)
    if not report["healthy"]:
        raise typer.Exit(FAILED)


def _print(report: dict) -> None:
    from sterling.base.text import counted

    host, cache = report["machine"], report["kernels"]
    state = f"{cache['files']} files"
    if cache["damaged"]:
        state += f", {counted(cache['damaged'], 'damaged file')} removed"
    if cache["not_writable"] is not None:
        state += f", no more can be kept, so each start compiles: {cache['not_writable']}"
    rows = [(name, found or "missing") for name, found in report["versions"].items()]
    rows += [
        ("system", host["system"]),
        ("cores", f"{host['usable_cores']} usable"),
        ("kernel cache", f"{cache['folder'] or 'none'}: {state}"),
    ]
    for test in report["self_test"]:
        equal = "equal" if test["equal"] else "DIFFERENT"
        rows.append((f"engines, {test['case']}", f"{equal}: {test['flips']:,} flips, {test['verdict']}"))
    for name, extra in report["extras"].items():
        found = extra["packages"]
        have = " ".join(f"{package} {version or 'missing'}" for package, version in found.items())
        rows.append((f"extra {name}", have if all(found.values()) else f"{have}: {extra['install']}"))
    out = console()
    out.print(facts_table(rows))
    if report["healthy"]:
        out.print("[bold green]Healthy: both engines agree.[/]")
    else:
        out.print("[bold red]The engines disagree: please report this, and trust no results from here.[/]")
