"""The claims of the paper, measured one after the other: what `sterling reproduce` does."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sterling import __version__
from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context, NothingMeasured, Stopped, check_seed
from sterling.claims.efforts import EFFORTS, Effort
from sterling.claims.finding import Finding, Judgement
from sterling.errors import InputError

DATA_FOLDER = "data"


@dataclass(frozen=True)
class Step:
    """How far a reproduction is: what displays are given several times a second.

    Attributes
    ----------
    key, title : str
        The claim under way.
    position, count : int
        It is claim number ``position`` (from 1) of ``count``.
    done, planned : int
        Trials or cells of its present part; ``planned`` is 0 where it is not known.
    note : str
    seconds : float
        Since the reproduction began.
    """

    key: str
    title: str
    position: int
    count: int
    done: int
    planned: int
    note: str
    seconds: float

    @property
    def share(self) -> float:
        """A rough share of the whole that is done, claims counted alike."""
        part = min(1.0, self.done / self.planned) if self.planned else 0.0
        return (self.position - 1 + part) / self.count


@dataclass(frozen=True)
class Reproduction:
    """What came out.

    Attributes
    ----------
    findings : tuple of Finding
        In the order of the claims; fewer than asked for if interrupted.
    effort : str
    seed : int
    version : str
        Of sterling.
    seconds : float
        Of this call.
    interrupted : bool
        Whether it was ended before the last claim was measured.
    machine : dict
        "cores", "python", "numpy", "numba", "system": what it ran on; no number depends on it.
    """

    findings: tuple[Finding, ...]
    effort: str
    seed: int
    version: str = __version__
    seconds: float = 0.0
    interrupted: bool = False
    machine: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Finding:
        """Return the finding of a claim by its key."""
        for finding in self.findings:
            if finding.key == key:
                return finding
        raise KeyError(key)


def reproduce(
    folder: str | os.PathLike,
    *,
    effort: str | Effort = "default",
    threads: int | None = None,
    only: Iterable[str] | None = None,
    seed: int = 2026,
    progress: Callable[[Step], None] | None = None,
    on_finding: Callable[[Reproduction], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Reproduction:
    """Measure the claims of the paper.

    Parameters
    ----------
    folder : path
        Raw rows go to its subfolder ``data``. What lies there already is used again, so a second call is
        short, and one that was broken off goes on.
    effort : "quick", "default" or "full", or an Effort
    threads : int, optional
        All cores by default. No number depends on it.
    only : keys of claims, optional
        Only these; by default all of `CLAIMS`.
    seed : int
        The root of all seeds.
    progress : callable, optional
        Gets a `Step` several times a second.
    on_finding : callable, optional
        Gets the reproduction so far after every claim.
    stop : callable, optional
        Asked several times a second; ends the reproduction when it comes true, as Ctrl-C does.

    Returns
    -------
    Reproduction
        Also after Ctrl-C, with what there is.

    Raises
    ------
    InputError
        For an effort, a claim, a number of threads or a seed that there is not.
    StoreError
        If raw rows cannot be written.
    """
    from sterling.base.interrupts import deferred_interrupt

    plan = _effort(effort)
    keys = _keys(only)
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads is {threads!r}; it must be a positive integer")
    begun = time.monotonic()
    report = Reproduction((), plan.name, check_seed(seed), machine=_machine())
    with deferred_interrupt() as pressed:
        for position, key in enumerate(keys, 1):
            claim = CLAIMS[key]

            def show(done: int, planned: int, note: str, claim=claim, position=position) -> None:
                if progress is not None:
                    now = time.monotonic() - begun
                    progress(Step(claim.key, claim.title, position, len(keys), done, planned, note, now))

            context = Context(
                folder=Path(folder) / DATA_FOLDER,
                effort=plan,
                threads=threads,
                seed=report.seed,
                show=show,
                stop=lambda: pressed() or (stop is not None and stop()),
            )
            started = time.monotonic()
            try:
                context.tell(0, 0)
                finding = claim.measure(context)
            except NothingMeasured as problem:
                finding = claim.found(
                    experiment="None was finished.", judgement=Judgement.NOT_DECIDED, reason=str(problem)
                )
            except Stopped:
                return replace(report, interrupted=True, seconds=time.monotonic() - begun)
            now = time.monotonic()
            finding = replace(
                finding, notes=(*finding.notes, *context.notes), seconds=finding.seconds or now - started
            )
            report = replace(report, findings=(*report.findings, finding), seconds=now - begun)
            if on_finding is not None:
                on_finding(report)
    return report


def _effort(effort: str | Effort) -> Effort:
    if isinstance(effort, Effort):
        return effort
    if effort not in EFFORTS:
        raise InputError(f"effort is {effort!r}; it must be one of {', '.join(EFFORTS)}")
    return EFFORTS[effort]


def _keys(only: Iterable[str] | None) -> list[str]:
    if only is None:
        return list(CLAIMS)
    wanted = [only] if isinstance(only, str) else list(only)
    for key in wanted:
        if key not in CLAIMS:
            raise InputError(f"there is no claim {key!r}; the claims are {', '.join(CLAIMS)}")
    if not wanted:
        raise InputError(f"only is empty; name some of {', '.join(CLAIMS)}")
    return [key for key in CLAIMS if key in wanted]


def _machine() -> dict[str, Any]:
    from importlib.metadata import version

    from sterling.base.resources import usable_cores

    return {
        "cores": usable_cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version("numba"),
        "system": f"{platform.system()} {platform.machine()}",
    }
