"""Findings in a terminal: one line for each when it is measured, and a table of all at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sterling.base.text import readable_time
from sterling.claims.finding import Finding, Judgement
from sterling.claims.words import amount, interval

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

JUDGEMENT_STYLES = {
    Judgement.CONSISTENT: ("✓", "bold green"),
    Judgement.FAR_INSIDE: ("◎", "bold cyan"),
    Judgement.CONTRADICTED: ("✗", "bold red"),
    Judgement.NOT_DECIDED: ("…", "bold yellow"),
}


def judged(finding: Finding) -> str:
    """Return one line with the judgement of a claim."""
    mark, _ = JUDGEMENT_STYLES[finding.judgement]
    return f"{mark} {finding.key}: {finding.judgement} ({readable_time(finding.seconds)})"


def table(findings: Iterable[Finding]) -> RenderableType:
    """Return the findings as a table, one row for each claim, the verdict first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = "In brackets: intervals of 95 %."
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False, pad_edge=False, caption=caption)
    for name in ("verdict", "claim", "measured", "theory"):
        grid.add_column(name, overflow="fold")
    for one in findings:
        mark, style = JUDGEMENT_STYLES[one.judgement]
        claim = Text.assemble((one.key, "bold"), f": {one.title} ", (f"({one.kind})", "dim"))
        laws = [
            Text.assemble((amount(law), "bold"), (f" ({law.kind}) {law.name}", "dim")) for law in one.theory
        ]
        grid.add_row(Text(f"{mark} {one.judgement}", style), claim, _measured(one), Text("\n").join(laws))
    return grid


def _measured(finding: Finding) -> Text:
    from rich.text import Text

    one, references = finding.headline, finding.references
    if one is None:
        return Text("no number")
    inside = f" [{interval(one, references)}]" if one.has_interval else ""
    return Text.assemble((amount(one, references), "bold"), inside, (f" {one.name}", "dim"))
