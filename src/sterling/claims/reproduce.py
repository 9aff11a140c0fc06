"""Measure the claims of the paper, one after another, as `sterling reproduce` does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from sterling import __version__
from sterling.base import checks
from sterling.base.files import as_path
from sterling.base.interrupts import deferred_interrupt
from sterling.base.progress import Progress, reporting
from sterling.claims.catalogue import CLAIMS
from sterling.claims.claim import EFFORTS
from sterling.claims.context import Context
from sterling.claims.finding import Finding
from sterling.errors import InputError

#: Subfolder of a reproduction that holds the rows.
DATA_FOLDER = "data"


@dataclass(frozen=True)
class Reproduction:
    """Findings in the order of the claims, and the seconds of this call.

    After an interrupt there are fewer findings than claims.
    """

    findings: tuple[Finding, ...]
    effort: str
    seed: int
    version: str = __version__
    seconds: float = 0.0

    def __getitem__(self, key: str) -> Finding:
        """Return the finding of a claim by its key."""
        return {finding.key: finding for finding in self.findings}[key]


def reproduce(
    folder: str | os.PathLike,
    *,
    effort: str = "default",
    budgets: Mapping[str, Any] | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    only: Iterable[str] | str | None = None,
    seed: int = 2026,
    progress: bool | Callable[[Progress], Any] = False,
    on_finding: Callable[[Reproduction], None] | None = None,
) -> Reproduction:
    """Measure the claims of the paper, or ``only`` some of them, named by their keys.

    Rows are stored in the subfolder ``data`` and used again, so a second call is short, and a call after an
    interrupt continues. An effort is "quick" (a minute or two) or "default" (a quarter of an hour).
    ``budgets`` replace the budgets of claims, by key, for example for longer runs. Results are the same for
    any ``threads`` and ``executor``, which are those of `run`. If ``progress`` is a function, it gets a
    `Progress` in units of claims; ``on_finding`` gets the reproduction after each claim.

    After Ctrl-C the finished rows are written; then KeyboardInterrupt is raised, with the findings as its
    ``reproduction``. InputError is raised for a wrong argument, StoreError if rows cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.claims.experiments.concentration import ConcentrationBudget
    >>> from sterling.claims.reproduce import reproduce
    >>> small = ConcentrationBudget(n=(4, 5), samples=(50, 200), instances=2)
    >>> found = reproduce(tempfile.mkdtemp(), only="concentration", budgets={"concentration": small})
    >>> finding = found["concentration"]
    >>> finding.headline.name, str(finding.judgement)
    ('exponent β of sup ‖G − E G‖ ∝ N^β', 'not decided')
    """
    checks.choice(effort, "effort", EFFORTS)
    keys, budgets = chosen(only), dict(budgets or {})
    begun = time.monotonic()
    report = Reproduction((), effort, checks.integer(seed, "seed", 0))
    try:
        with reporting(progress) as show, deferred_interrupt() as pressed:
            for index, key in enumerate(keys):
                claim = CLAIMS[key]
                started = time.monotonic()
                where = f"{key}: {claim.title}, claim {index + 1} of {len(keys)}"
                look = _claim_progress(show, pressed, where, index, len(keys))
                look(Progress(0, None))
                context = Context(as_path(folder) / DATA_FOLDER, threads, executor, report.seed, look)
                finding = claim.measure(context, budgets.get(key, claim.budgets[effort]))
                now = time.monotonic()
                finding = replace(finding, notes=(*finding.notes, *context.notes), seconds=now - started)
                report = replace(report, findings=(*report.findings, finding), seconds=now - begun)
                if on_finding is not None:
                    on_finding(report)
    except KeyboardInterrupt as stop:
        stop.reproduction = replace(report, seconds=time.monotonic() - begun)  # type: ignore[attr-defined]
        raise
    return report


def _claim_progress(
    show: Callable[[Progress], Any] | None, pressed: Callable[[], bool], where: str, index: int, total: int
) -> Callable[[Progress], None]:
    """Return a function that turns the progress of studies into that of claims, and stops at Ctrl-C."""
    reached = 0.0

    def report(of_study: Progress) -> None:
        nonlocal reached
        if pressed():
            raise KeyboardInterrupt
        if show is not None:
            if of_study.total:  # each study of the claim begins at zero
                reached = max(reached, min(1.0, of_study.done / of_study.total))
            show(Progress(index + reached, total, where))

    return report


def chosen(only: Iterable[str] | str | None, name: str = "only") -> list[str]:
    """Return the keys of the chosen claims in their order, all for None; other keys raise InputError."""
    if only is None:
        return list(CLAIMS)
    known = {key.lower(): key for key in CLAIMS}
    asked = [only] if isinstance(only, str) else only
    wanted = {checks.choice(known.get(str(key).strip().lower(), key), name, CLAIMS) for key in asked}
    if not wanted:
        raise InputError(f"{name} names no claim; the claims are {', '.join(CLAIMS)}")
    return [key for key in CLAIMS if key in wanted]
