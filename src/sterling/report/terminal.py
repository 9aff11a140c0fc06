"""A reproduction in a terminal: its progress on stderr, its findings as a table on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sterling.base.progress import LIVE_EVERY, PLAIN_EVERY, is_terminal, say, seldom
from sterling.base.text import readable_time
from sterling.claims.finding import Finding, Judgement, Reference
from sterling.claims.words import amount, interval, leading, level

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from sterling.claims.reproduce import Step

JUDGEMENT_STYLES = {
    Judgement.CONSISTENT: ("✓", "bold green"),
    Judgement.FAR_INSIDE: ("◎", "bold cyan"),
    Judgement.CONTRADICTED: ("✗", "bold red"),
    Judgement.NOT_DECIDED: ("…", "bold yellow"),
}

KIND_STYLES = {"theorem": "magenta", "exact": "green", "mean-field": "yellow"}

_TABLE_WIDTH = 76  # columns; on a narrower terminal each claim is a few lines
_FORESEEABLE = 0.03  # share of the work after which the time left is worth saying


class Progress:
    """What shows a reproduction under way. `step` is given a `Step`, `say` a line that stays."""

    def __init__(self, step: Callable[[Step], None], say: Callable[[str], None]) -> None:
        self.step = step
        self.say = say


@contextmanager
def display(quiet: bool = False) -> Iterator[Progress]:
    """Give a `Progress` on stderr: live on a terminal, a plain line now and then elsewhere."""
    if quiet:
        yield Progress(lambda step: None, lambda text: None)
    elif is_terminal():
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield Progress(
                seldom(LIVE_EVERY, lambda step: live.update(picture(step), refresh=True)),
                lambda text: console.print(text, markup=False),
            )
    else:
        yield Progress(seldom(PLAIN_EVERY, lambda step: say(plain_line(step))), say)


def plain_line(step: Step) -> str:
    """Return the progress as one line of text."""
    return ", ".join([f"claim {step.position} of {step.count}: {step.key}", *_facts(step)])


def picture(step: Step) -> RenderableType:
    """Return the progress as a bar, the claim under way, and a few words below."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid(expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True, width=6)
    bar.add_row(ProgressBar(total=1.0, completed=step.share), f"{100 * step.share:.0f} %")
    claim = Text.assemble((f"{step.key} ", "bold"), f"{step.title}, claim {step.position} of {step.count}")
    return Group(bar, claim, Text(", ".join(_facts(step)), "dim"))


def _facts(step: Step) -> list[str]:
    facts = []
    if step.planned:
        facts.append(f"{min(step.done, step.planned):,} of {step.planned:,} done")
    elif step.done:
        facts.append(f"{step.done:,} done")
    if step.note:
        facts.append(step.note)
    if step.share > _FORESEEABLE:
        left = readable_time(step.seconds * (1 - step.share) / step.share)
        facts.append(f"{left} left" if left.startswith("under") else f"about {left} left")
    return facts or ["starting"]


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
