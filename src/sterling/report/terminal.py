"""Findings in a terminal: one line for each as it comes, and a table of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sterling.base.text import readable_time
from sterling.claims.finding import Finding, Judgement, Reference
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
        grid.add_row(_claim(one), _measured(one), _theory(one), _judgement(one))
    return grid


def _lines(finding: Finding) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    rest = Group(_measured(finding), _theory(finding), _judgement(finding))
    return Group(_claim(finding), Padding(rest, (0, 0, 0, 2)), Text())


def _claim(finding: Finding) -> Text:
    from rich.text import Text

    return Text.assemble((finding.key, "bold"), f" {finding.title} ", _kind(finding.kind))


def _measured(finding: Finding) -> Text:
    from rich.text import Text

    one = finding.headline
    if one is None:
        return Text("no number", "dim")
    inside = f" [{interval(one, finding.references)}]" if one.has_interval else ""
    return Text.assemble((amount(one, finding.references), "bold"), inside, (f"\n{one.name}", "dim"))


def _theory(finding: Finding) -> Text:
    from rich.text import Text

    if not finding.references:
        return Text("no number", "dim")
    shown, more = leading(finding.references)
    lines = [_reference(one) for one in shown]
    if more:
        lines.append(Text(f"and {more} more on the page", "dim"))
    return Text("\n").join(lines)


def _reference(one: Reference) -> Text:
    from rich.text import Text

    return Text.assemble((amount(one), "bold"), " ", _kind(one.kind), (f" {one.name}", "dim"))


def _kind(kind: str) -> tuple[str, str]:
    return f"({kind})", KIND_STYLES[kind]


def _judgement(finding: Finding) -> Text:
    from rich.text import Text

    mark, style = JUDGEMENT_STYLES[finding.judgement]
    return Text(f"{mark} {finding.judgement}", style)
