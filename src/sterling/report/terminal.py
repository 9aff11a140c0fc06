"""Findings in a terminal: one line for each as it comes, and a table of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sterling.base.text import readable_time
from sterling.claims.finding import Finding, Judgement
from sterling.claims.words import amount, interval, leading, level

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

JUDGEMENT_STYLES = {
    Judgement.CONSISTENT: ("✓", "bold green"),
    Judgement.FAR_INSIDE: ("◎", "bold cyan"),
    Judgement.CONTRADICTED: ("✗", "bold red"),
    Judgement.NOT_DECIDED: ("…", "bold yellow"),
}

KIND_STYLES = {
    "theorem": "magenta",
    "exact": "green",
    "mean-field": "yellow",
    "measured": "blue",
    "interpretation": "dim",
}

_TABLE_WIDTH = 76  # columns; on a narrower terminal each claim is a few lines


def judged(finding: Finding) -> str:
    """Return one line that says how a claim came out."""
    mark, _ = JUDGEMENT_STYLES[finding.judgement]
    return f"{mark} {finding.key}: {finding.judgement} ({readable_time(finding.seconds)})"


def table(findings: Iterable[Finding], width: int) -> RenderableType:
    """Return the findings as a table, or on a terminal of less than 76 columns as a few lines a claim."""
    from rich.console import Group
    from rich.text import Text

    findings = list(findings)
    levels = sorted({level(one.headline) for one in findings if one.headline and one.headline.has_interval})
    legend = [Text(f"In brackets: intervals of {' and '.join(levels)}.", "dim")] if levels else []
    if width >= _TABLE_WIDTH:
        return Group(_grid(findings), *legend)
    return Group(*map(_lines, findings), *legend)


def _grid(findings: list[Finding]) -> RenderableType:
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, show_lines=False, padding=(0, 1), pad_edge=False, expand=False)
    for name, share in (("Claim", 5), ("Measured", 5), ("Theory", 4), ("Judgement", 3)):
        grid.add_column(name, ratio=share, overflow="fold", vertical="top")
    for number, one in enumerate(findings):
        if number:
            grid.add_row()
        grid.add_row(*_cells(one))
    return grid


def _lines(finding: Finding) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding

    claim, *rest = _cells(finding)
    return Group(claim, Padding(Group(*rest), (0, 0, 0, 2)), "")


def _cells(finding: Finding) -> tuple[Text, Text, Text, Text]:
    """Return the claim, what was measured, what theory gives, and the judgement."""
    from rich.text import Text

    measured = theory = Text("no number", "dim")
    one, references = finding.headline, finding.references
    if one is not None:
        inside = f" [{interval(one, references)}]" if one.has_interval else ""
        measured = Text.assemble((amount(one, references), "bold"), inside, (f"\n{one.name}", "dim"))
    if references:
        shown, more = leading(references)
        lines = [
            Text.assemble((amount(law), "bold"), " ", _kind(law.kind), (f" {law.name}", "dim"))
            for law in shown
        ]
        lines += [Text(f"and {more} more on the page", "dim")] if more else []
        theory = Text("\n").join(lines)
    mark, style = JUDGEMENT_STYLES[finding.judgement]
    claim = Text.assemble((finding.key, "bold"), f" {finding.title} ", _kind(finding.kind))
    return claim, measured, theory, Text(f"{mark} {finding.judgement}", style)


def _kind(kind: str) -> tuple[str, str]:
    return f"({kind})", KIND_STYLES[kind]
