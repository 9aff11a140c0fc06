"""What a run is asked for, checked once: for `train`, `resume` and the command line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sterling.base import checks
from sterling.base.files import as_path, printable, refusal
from sterling.base.progress import ProgressCallback
from sterling.base.resources import thread_count
from sterling.dynamics.restart import Restart
from sterling.errors import InputError, InputTypeError, SterlingWarning
from sterling.exact.mass import mass_between
from sterling.model.instance import Instance
from sterling.schedules import MAX_STEPS, Power, Schedule
from sterling.surrogates import STEEPEST, Surrogate, get_surrogate

ENGINES = ("auto", "event", "dense")
RECORDS = ("flips", "recurrence")

#: What latents may reach on the way; a little less than the largest float.
_LARGEST = 1e307


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `train`, where they are described.

    After the checks ``surrogate`` and ``schedule`` are objects, ``engine`` is "event" or "dense", ``threads``
    a number, and ``steps`` the length of the whole run, what was done before a resume included.
    """

    steps: int = 1_000_000
    schedule: Schedule = None  # type: ignore[assignment]
    surrogate: Surrogate = "relu"  # type: ignore[assignment]
    restart: Restart | None = None
    engine: str = "auto"
    record: tuple[str, ...] = RECORDS
    progress: bool | ProgressCallback = False
    threads: int = None  # type: ignore[assignment]
    cache_bytes: int | None = None
    checkpoint: Path | None = None
    checkpoint_every: float = 20.0

    def __post_init__(self) -> None:
        known = "Constant(rate), Power(rate, exponent) or Table(rates)"
        schedule = Power(0.5, 0.5) if self.schedule is None else self.schedule
        surrogate = get_surrogate(self.surrogate)
        if not callable(self.progress):
            checks.flag(self.progress, "progress")
        room = None if self.cache_bytes is None else int(checks.real(self.cache_bytes, "cache_bytes", 0))
        for name, value in (
            ("steps", checks.integer(self.steps, "steps", 1, MAX_STEPS)),
            ("schedule", checks.instance_of(schedule, Schedule, "schedule", known)),
            ("surrogate", surrogate),
            ("restart", self.restart and checks.instance_of(self.restart, Restart, "restart", "a Restart")),
            ("engine", _chosen(checks.choice(self.engine, "engine", ENGINES), surrogate)),
            ("record", _names(self.record)),
            ("threads", thread_count(self.threads)),
            ("cache_bytes", room),
            ("checkpoint", _writable(self.checkpoint)),
            ("checkpoint_every", checks.real(self.checkpoint_every, "checkpoint_every", above=0)),
        ):
            object.__setattr__(self, name, value)

    def warn(self, stacklevel: int) -> None:
        """Warn of each of the paper's terms that the schedule fails, so many callers up."""
        for reason in self.schedule.conditions().failed:
            text = f"this schedule fails a term of the theorem. {reason}"
            warnings.warn(text, SterlingWarning, stacklevel=stacklevel + 1)

    def check_reach(self, instance: Instance) -> None:
        """Refuse step sizes so large that latents could leave the range of floats."""
        mass = mass_between(*self.schedule._kernel_arguments(1 / instance.readout_norm2), 0, self.steps)
        slope = 1 if self.surrogate.piecewise_constant else STEEPEST
        if not mass * (instance.gradient_bound / instance.unit) * slope < _LARGEST:
            raise InputError(
                f"{self.schedule!r} moves latents beyond the range of floats within {self.steps:,} steps "
                f"(their sum is {mass:.3g}): take smaller rates or fewer steps"
            )


def _chosen(engine: str, surrogate: Surrogate) -> str:
    if engine == "auto":
        return "event" if surrogate.piecewise_constant else "dense"
    if engine == "event" and not surrogate.piecewise_constant:
        raise InputError(
            f"the event engine needs a piecewise-constant surrogate, and {surrogate.name} is smooth: "
            "take the dense engine"
        )
    return engine


def _names(record: str | Iterable[str]) -> tuple[str, ...]:
    try:
        names = (record,) if isinstance(record, str) else tuple(record)
    except TypeError:
        text = f"record is {checks.shown(record)}; give names such as flips"
        raise InputTypeError(text) from None
    return tuple(checks.choice(name, "record", RECORDS) for name in names)


def _writable(checkpoint: str | os.PathLike | None) -> Path | None:
    if checkpoint is None:
        return None
    path = as_path(checkpoint, "checkpoint")
    reason = refusal(path)
    if reason is not None:
        raise InputError(f"checkpoint is {printable(path)}, {reason}")
    return path
