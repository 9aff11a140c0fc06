"""What a claim is: a statement with its source, an experiment, and how much of it each effort asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sterling.claims.finding import Finding
from sterling.claims.judge import Rule

if TYPE_CHECKING:
    from sterling.claims.context import Context

PAPER = "Jeong, Xin & Yin, arXiv 2505.18113"
#: What is derived and checked outside the paper; sources are written as "docs/science, 5".
SCIENCE = "docs/science"

#: How much is done: a minute or two, a quarter of an hour, hours. Budgets are trials, steps and widths, never
#: seconds, so each gives the same rows on every machine.
EFFORTS = ("quick", "default", "full")


@dataclass(frozen=True)
class Claim:
    """One statement to be measured.

    Attributes
    ----------
    key : str
        "P1" … "P5" for the paper's, or a short name such as "population".
    title, statement, kind, source : str
        As in `Finding`.
    measure : callable
        ``measure(context, budget)`` returns the finding.
    budgets : mapping of effort to budget
        One for each of `EFFORTS`; what a budget holds is the claim's own affair.
    """

    key: str
    title: str
    statement: str
    kind: str
    source: str
    measure: Callable[[Context, Any], Finding]
    budgets: Mapping[str, Any]

    def found(self, rule: Rule, judged: Iterable[tuple[Any, ...]], **results: Any) -> Finding:
        """Return a finding for this claim.

        Parameters
        ----------
        rule : Rule
            What judges, and says how.
        judged : iterable of tuple
            The pieces of evidence that it judges.
        **results
            The other fields of `Finding`.
        """
        return Finding(
            self.key,
            self.title,
            self.statement,
            self.kind,
            self.source,
            judgement=rule.judge(judged),
            rule=rule.words,
            **results,
        )
