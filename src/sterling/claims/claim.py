"""What a claim is: a statement with its source, an experiment, and how much of it each effort asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sterling.claims.finding import Finding, Statement
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
class Claim(Statement):
    """One statement to be measured: ``measure(context, budget)`` returns the finding.

    There is a budget for each of `EFFORTS`; what it holds is the claim's own affair.
    """

    measure: Callable[[Context, Any], Finding]
    budgets: Mapping[str, Any]

    def found(self, rule: Rule, judged: Iterable[tuple[Any, ...]], **results: Any) -> Finding:
        """Return a finding for this claim: the rule judges pieces of evidence, and says how."""
        own = {one.name: getattr(self, one.name) for one in fields(Statement)}
        return Finding(**own, judgement=rule.judge(judged), rule=rule.words, **results)
