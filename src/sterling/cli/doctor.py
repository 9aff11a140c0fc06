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
    from rich.markup import escape
    from rich.panel import Panel

    from sterling.base.resources import readable_bytes
    from sterling.base.text import counted

    host, cache = report["machine"], report["kernels"]
    memory = host["available_memory"]
    state = f"{cache['files']} files, {readable_bytes(cache['bytes'])}"
    if cache["damaged"]:
        state += f", [yellow]{counted(cache['damaged'], 'damaged file')} removed[/]"
    if cache["not_writable"] is not None:
        state += f", [yellow]no more can be kept, so each start compiles: {escape(cache['not_writable'])}[/]"
    if cache["switched_off"]:
        state += ", [yellow]compilation is switched off (NUMBA_DISABLE_JIT)[/]"
    frames = {
        "versions": [(name, found or "[red]missing[/]") for name, found in report["versions"].items()],
        "machine": [
            ("system", host["system"]),
            ("cores", f"{host['usable_cores']} usable of {host['cores']}"),
            ("memory", "unknown" if memory is None else f"{readable_bytes(memory)} available"),
            ("kernel cache", escape(cache["folder"] or "none")),
            ("", state),
        ],
        "engine against engine": [
            (
                test["case"],
                ("[green]equal[/]" if test["equal"] else "[bold red]DIFFERENT[/]")
                + f": {test['flips']:,} flips, {test['verdict']}",
            )
            for test in report["self_test"]
        ],
    }
    frames["extras"] = []
    for name, extra in report["extras"].items():
        found = extra["packages"]
        have = " ".join(f"{package} {version or '[yellow]missing[/]'}" for package, version in found.items())
        advice = "" if all(found.values()) else f": {escape(extra['install'])}"
        frames["extras"].append((name, f"{have}{advice}"))
    out = console()
    for title, rows in frames.items():
        frame = Panel(facts_table(rows), title=title, title_align="left", border_style="dim", expand=False)
        out.print(frame)
    if report["healthy"]:
        out.print("[bold green]Healthy: both engines agree.[/]")
    else:
        out.print("[bold red]The engines disagree: please report this, and trust no results from here.[/]")
