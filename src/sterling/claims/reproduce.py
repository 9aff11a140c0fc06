"""The claims of the paper, measured one after the other: what `sterling reproduce` does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
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

#: Of the rows below the folder of a reproduction.
DATA_FOLDER = "data"


@dataclass(frozen=True)
class Reproduction:
    """What came out, in the order of the claims; fewer than asked for if it was broken off.

    The seconds are those of this call.
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
    only: Iterable[str] | str | None = None,
    seed: int = 2026,
    progress: bool | Callable[[Progress], Any] = False,
    on_finding: Callable[[Reproduction], None] | None = None,
) -> Reproduction:
    """Measure the claims of the paper, or ``only`` some, by their keys.

    Rows go to the subfolder ``data``. What lies there already is used again, so a second call is short, and
    one that was broken off goes on. An effort is "quick" (a minute or two), "default" (a quarter of an hour)
    or "full" (hours); ``budgets`` replace those of claims, by key. No number depends on ``threads``. A
    function as ``progress`` gets a `Progress` counted in claims, and ``on_finding`` the reproduction so far.

    The KeyboardInterrupt after Ctrl-C comes once what was finished is written; its ``reproduction`` holds
    what there is. InputError is raised for what cannot be used, StoreError if rows cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.claims.experiments.concentration import ConcentrationBudget
    >>> from sterling.claims.reproduce import reproduce
    >>> small = ConcentrationBudget(n=(4, 5), samples=(50, 200), few=(10,), instances=2)
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
            for place, key in enumerate(keys):
                claim = CLAIMS[key]
                tell = _Teller(show, pressed, f"{key} {claim.title}", place, len(keys))
                context = Context(as_path(folder) / DATA_FOLDER, threads, report.seed, tell)
                started = time.monotonic()
                tell(Progress(0, None))
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


@dataclass
class _Teller:
    """Says how far the measurement of a claim is, and heeds Ctrl-C."""

    show: Callable[[Progress], Any] | None
    pressed: Callable[[], bool]
    title: str
    place: int
    count: int
    reached: float = 0.0  # of the claim; of several studies each begins again, this does not

    def __call__(self, of_study: Progress) -> None:
        if self.pressed():
            raise KeyboardInterrupt
        if self.show is None:
            return
        done, total = of_study.done, of_study.total
        if total:
            self.reached = max(self.reached, min(1.0, done / total))
        where = f"{self.title}, claim {self.place + 1} of {self.count}"
        trials = f"{min(done, total):,.10g} of {total:,.10g} done" if total else ""
        facts = tuple(words for words in (trials, of_study.note, *of_study.facts) if words)
        self.show(Progress(self.place + self.reached, self.count, where, facts))


def chosen(only: Iterable[str] | str | None, name: str = "only") -> list[str]:
    """Return the keys of the claims asked for, in their order; all for None, and an InputError for others."""
    if only is None:
        return list(CLAIMS)
    known = {key.lower(): key for key in CLAIMS}
    asked = [only] if isinstance(only, str) else only
    wanted = {checks.choice(known.get(str(key).strip().lower(), key), name, CLAIMS) for key in asked}
    if not wanted:
        raise InputError(f"{name} names no claim; the claims are {', '.join(CLAIMS)}")
    return [key for key in CLAIMS if key in wanted]
