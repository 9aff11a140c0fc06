"""A claim: a statement with its source, an experiment, and a budget for each effort."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sterling.claims.context import Context
from sterling.claims.finding import Finding, Statement
from sterling.claims.judge import Rule

PAPER = "Jeong, Xin & Yin, arXiv 2505.18113"
#: Source of what is derived and checked outside the paper, such as "docs/science, 5".
SCIENCE = "docs/science"

#: Efforts of two minutes and a quarter of an hour. Budgets are trials, steps and widths, never
#: seconds, so the rows are the same on every machine.
EFFORTS = ("quick", "default")


@dataclass(frozen=True)
class Claim(Statement):
    """One statement to be measured: ``measure(context, budget)`` returns the finding.

    There is a budget for each of `EFFORTS`; each claim defines its own class of budgets.
    """

    measure: Callable[[Context, Any], Finding]
    budgets: Mapping[str, Any]

    def found(self, rule: Rule, judged: Iterable[tuple[Any, ...]], **results: Any) -> Finding:
        """Return a finding for this claim, with the judgement of the rule and its words."""
        own = {one.name: getattr(self, one.name) for one in fields(Statement)}
        given = list(judged)
        verdict = {"judgement": rule.judge(given), "rule": rule.words, "open": rule.missing(given)}
        return Finding(**own, **verdict, **results)
