"""The options of a run, its first latents and its first state; `train.py` describes them to users."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sterling.base import checks
from sterling.base.arrays import real_array
from sterling.base.files import as_path, printable, refusal
from sterling.base.progress import ProgressCallback
from sterling.base.resources import require_memory, thread_count
from sterling.dynamics import state as cell
from sterling.dynamics.motion import motion_of
from sterling.dynamics.restart import Restart, as_restart
from sterling.dynamics.state import RunState
from sterling.errors import CapacityError, InputError, InputTypeError
from sterling.model.instance import Instance
from sterling.model.levels import Quantiser, require_two
from sterling.model.problem import LATENT, part_seed
from sterling.model.signal import signal_of
from sterling.optimizers.base import PLAIN, Motion, Optimizer, as_optimizer
from sterling.optimizers.batch import Batch, as_batch
from sterling.optimizers.sgd import PLAIN_SGD
from sterling.returns import counts
from sterling.schedules import MAX_STEPS, Constant, Power, Schedule, Table
from sterling.surrogates import Surrogate, get_surrogate

ENGINES = ("auto", "event", "step", "dense")
RECORDS = ("flips", "recurrence")

#: With larger latents the ratios of gradient and latent would underflow.
_FARTHEST = 1e100

FULL_MEMORY, BATCH_MEMORY = 30, 100  # steps over which a damped run averages the gradient by default
_SCALE_FREE_RATE = 0.01
_BATCH_BYTES = 64  # memory of a row of a batch, on the dense engine of each input in it
_MOST_ROWS = (1 << 31) - 1  # of the inputs, which the step engine numbers with 32 bits
_LEAST_PULL = 1e-300  # of the readout's squared norm: the step size of a damped run stays finite


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `train`, which describes them; they are checked here, once.

    ``steps`` is the length of the whole run, with the steps before a resume. `for_data` fills in what depends
    on the data; before it ``schedule`` may be None and ``engine`` "auto".
    """

    steps: int = 1_000_000
    schedule: Schedule = None  # type: ignore[assignment]
    surrogate: Surrogate = "relu"  # type: ignore[assignment]
    restart: Restart | None = None
    optimizer: Optimizer = PLAIN_SGD
    batch: Batch | None = None
    seed: int | np.random.SeedSequence = 0
    engine: str = "auto"
    record: tuple[str, ...] = RECORDS
    progress: bool | ProgressCallback = False
    threads: int = None  # type: ignore[assignment]
    cache_bytes: int | None = None
    checkpoint: Path | None = None
    checkpoint_every: float = 20.0
    signal: float = 0.0  # S; 0 where the optimiser does not use it
    levels: int = 2  # of the data
    whole: Batch | None = None  # the batch that was asked for, where it holds all samples
    plain: bool = field(init=False)  # plain gradient steps at full batch, the method of the paper

    def __post_init__(self) -> None:
        surrogate = get_surrogate(self.surrogate)
        engine = checks.choice(self.engine, "engine", ENGINES)
        if engine in ("event", "step") and not surrogate.piecewise_constant:
            raise InputError(
                f"the {engine} engine needs a piecewise-constant surrogate, and {surrogate.name} is smooth: "
                "use the dense engine"
            )
        named = isinstance(self.record, Iterable) and not isinstance(self.record, str)
        record = tuple(self.record) if named else (self.record,)
        for name in record:
            checks.choice(name, "record", RECORDS)
        if not callable(self.progress):
            checks.flag(self.progress, "progress")
        room, checkpoint = self.cache_bytes, self.checkpoint
        if room is not None:
            room = int(checks.real(room, "cache_bytes", 0))
        if checkpoint is not None:
            checkpoint = as_path(checkpoint, "checkpoint")
            reason = refusal(checkpoint)
            if reason is not None:
                raise InputError(f"checkpoint is {printable(checkpoint)}, {reason}")
        optimizer, batch = self.optimizer, self.batch
        if not isinstance(optimizer, Optimizer):
            optimizer = PLAIN_SGD if optimizer == "sgd" else as_optimizer(optimizer)
        if batch is not None:
            batch = as_batch(batch)
        known = "Constant(rate), Power(rate, exponent) or Table(rates)"
        schedule = self.schedule
        if schedule is not None:
            checks.instance_of(schedule, Schedule, "schedule", known)
        for name, value in (
            ("steps", checks.integer(self.steps, "steps", 1, MAX_STEPS)),
            ("surrogate", surrogate),
            ("restart", None if self.restart is None else as_restart(self.restart)),
            ("optimizer", optimizer),
            ("batch", batch),
            ("seed", checks.seed(self.seed)),
            ("plain", optimizer == PLAIN_SGD and batch is None and self.levels == 2),
            ("record", record),
            ("threads", thread_count(self.threads)),
            ("cache_bytes", room),
            ("checkpoint", checkpoint),
            ("checkpoint_every", checks.real(self.checkpoint_every, "checkpoint_every", above=0)),
        ):
            object.__setattr__(self, name, value)
        if self.restart is not None and not self.plain:
            raise InputError(
                "ergodic restart is for plain SGD at full batch: drop restart, or the optimizer and the batch"
            )
        if self.optimizer.name == "bop" and schedule not in (None, Constant(1.0)):
            raise InputError("Bop has no step sizes: drop the schedule", argument="schedule")

    def for_data(self, instance: Instance) -> Options:
        """Return the options with batch, S, schedule and engine as they are for these data."""
        if instance.levels != 2:
            self._check_levels(instance)
        elif self.plain:
            engine = self.engine
            if engine == "auto":
                engine = "event" if self.surrogate.piecewise_constant else "dense"
            return replace(self, engine=engine, schedule=self.schedule or Power(0.5, 0.5))
        optimizer, signal = self.optimizer, self.signal
        batch = as_batch(self.batch, instance.samples)
        half = Quantiser(instance.levels, instance.n).half
        if optimizer.uses_signal and not signal:
            signal = signal_of(instance, self.surrogate)
            if not signal > 0:
                raise InputError(
                    f"the mean pull S on one wrong weight is {signal:.3g} for these data, so damping, band "
                    "and threshold have no unit: use an optimizer without them"
                )
        schedule = self.schedule
        if schedule is None:
            schedule = default_schedule(optimizer, batch, signal / half, instance.readout_norm2)
        chosen = replace(
            self,
            batch=batch,
            whole=self.batch if batch is None and self.batch is not None else self.whole,
            signal=signal,
            schedule=schedule,
            levels=instance.levels,
        )
        chosen._check_rates(instance.readout_norm2, signal / half)
        chosen = replace(chosen, engine=chosen._choose_engine())
        if chosen.engine == "step" and instance.samples * instance.m > _MOST_ROWS:
            raise CapacityError(
                f"the step engine takes at most {_MOST_ROWS:,} samples times hidden units: take fewer samples"
            )
        if batch is not None and batch.replace:
            chosen._check_repeats(batch.size, instance)
        return chosen

    @property
    def motion(self) -> Motion | None:
        """How latents move between two flips, None where they do not just drift and relax."""
        return PLAIN if self.plain else motion_of(self.optimizer, self.batch, self.signal, self.levels)

    def scale(self, norm2: float) -> float:
        """Return the factor from rates to step sizes."""
        return 1.0 if self.optimizer.scale_free else 1 / norm2

    def _check_levels(self, instance: Instance) -> None:
        """Refuse what only weights of two levels have, and a clip that keeps latents from outer levels."""
        for given, what in (
            (self.restart is not None, "ergodic restart is"),
            (self.optimizer.name == "bop", "Bop is"),
            (self.optimizer.band > 0, "a band is"),
            (self.engine == "event", "the event engine is"),
        ):
            if given:
                require_two(instance, what)
        clip, outermost = self.optimizer.clip, Quantiser(instance.levels, instance.n).thresholds[-1]
        if clip is not None and not clip > outermost:
            raise InputError(
                f"clip is {clip:g}, and the outer ones of {instance.levels} levels begin at {outermost:.4g}: "
                "give a larger clip",
                argument="clip",
            )

    def _check_repeats(self, size: int, instance: Instance) -> None:
        """Refuse a batch with replacement whose sums would not fit, or for which there is no memory.

        It may repeat one sample, so a bound on the sum over all samples does not hold for it.
        """
        if size > instance.largest_batch:
            raise InputError(
                f"batch has {size:,} samples, and exact sums over these data hold at most "
                f"{instance.largest_batch:,}: take fewer",
                argument="batch",
            )
        entries = size * instance.m * (instance.n if self.engine == "dense" else 1)
        require_memory(_BATCH_BYTES * entries, f"a batch of {size:,} samples")

    def _check_rates(self, norm2: float, pull: float) -> None:
        """Refuse steps so large that damping or decay would turn latents over; ``pull`` is S/(Δ/2)."""
        optimizer, schedule = self.optimizer, self.schedule
        kappa = optimizer.damping * pull + getattr(optimizer, "decay", 0.0)
        if optimizer.name == "bop" or not kappa:
            return
        if isinstance(schedule, Table):
            largest = max(schedule.rates)
        elif schedule._kernel_arguments()[2] < 0:
            raise InputError("damping and decay need step sizes that do not grow: give an exponent ≥ 0")
        else:
            largest = schedule.at(0)
        share = largest * self.scale(norm2) * kappa
        if not share < 0.5:
            raise InputError(
                f"η(θS + λ) reaches {share:.3g} with {schedule!r}; it must stay below 0.5: use rates below "
                f"{0.5 * largest / share:.3g} (η: step size, θ: damping, S: mean pull on one wrong weight, "
                "λ: decay)",
                argument="schedule",
            )

    def _choose_engine(self) -> str:
        """Return the engine: "event" where it can, then "step", else "dense"."""
        smooth = not self.surrogate.piecewise_constant
        if self.engine == "event" and self.motion is None:
            raise InputError(
                "the event engine needs SGD without momentum and clip, or Bop with gamma below 0.5, at full "
                "batch: use another engine"
            )
        built_in = self.optimizer._built_in
        if self.engine == "step" and not built_in:
            raise InputError(f"the step engine does not know {self.optimizer!r}: use the dense engine")
        if self.engine == "step" and self.motion is not None:
            raise InputError(
                f"{self.optimizer!r} at full batch does not need the step engine: use the event engine"
            )
        if self.engine != "auto":
            return self.engine
        if smooth or not built_in:
            return "dense"
        return "step" if self.motion is None else "event"


def default_schedule(optimizer: Optimizer, batch: Batch | None, signal: float, norm2: float) -> Schedule:
    """Return the schedule of a run that names none: one with enough mass, if the run is damped.

    ``signal`` is S in units of Δ/2, which is 1 for two levels.
    """
    if optimizer.name == "bop":
        return Constant(1.0)
    if optimizer.scale_free:
        return Constant(_SCALE_FREE_RATE)
    if optimizer.damping > 0:
        memory = FULL_MEMORY if batch is None else BATCH_MEMORY
        pull = memory * optimizer.damping * signal
        if pull < _LEAST_PULL * norm2:
            raise InputError(
                f"damping is {optimizer.damping}, too little for the step size that a damped run takes: give "
                "more, or a schedule"
            )
        return Constant(norm2 / pull)
    return Power(0.5, 0.5)


def initial_latent(n: int, init, levels: int = 2) -> np.ndarray:
    """Return u_0: the latents given, or N(0, 1/n) ones from a seed, the same on every machine.

    Normal codes on the grid 2^-12 are drawn exactly. A uniform offset within the cell is added, so that no
    latent lies on the grid. Latents whose levels are all zero are drawn again.
    """
    if isinstance(init, int | np.integer | np.random.SeedSequence | np.random.Generator):
        seed = checks.seed(init, "init")
        from sterling.exact.sampling import draw_codes, words
        from sterling.model.families import Gaussian, family_table

        again: tuple[int, ...] = ()
        while True:
            coarse, fine = part_seed(seed, LATENT, 0, *again), part_seed(seed, LATENT, 1, *again)
            codes = draw_codes(family_table(Gaussian()), coarse, (n,)).astype(np.float64)
            within = (words(fine, n) >> np.uint64(11)) * 2.0**-53 - 0.5
            latent = (codes + within) * (2.0**-12 / np.sqrt(n))
            if levels == 2 or Quantiser(levels, n).quantise(latent).any():
                return latent
            again = *again, 0
    try:
        latent = real_array(init, "init", ("weight",), (n,), f"n={n}")
        if np.asarray(init).dtype == bool:
            raise InputTypeError("a mask is not an array of latents")
    except InputTypeError:
        text = f"init is {checks.shown(init)}; give a seed or an array of {n} latents"
        raise InputTypeError(text, argument="init") from None
    if np.abs(latent).max() > _FARTHEST:
        raise InputError(
            f"init reaches {np.abs(latent).max():g}; latents must lie within ±{_FARTHEST:g}", argument="init"
        )
    if not Quantiser(levels, n).quantise(latent).any():
        text = "init makes every weight zero, so that all outputs are zero: give larger latents"
        raise InputError(text, argument="init")
    return latent


def first_state(
    latent: np.ndarray, teacher: np.ndarray | None, counting: bool = True, levels: int = 2
) -> RunState:
    """Return the state at step 0; ``counting`` says whether the visits to the reference are counted."""
    n = len(latent)
    if levels == 2:
        signs = np.where(latent >= 0, 1, -1).astype(np.int8)
    else:
        signs = Quantiser(levels, n).quantise(latent)
    reference = signs.copy() if teacher is None else teacher.astype(np.int8)
    clock = np.zeros(cell.CLOCK, np.int64)
    clock[[cell.FIRST_HIT, cell.ARRIVED, cell.LEFT, cell.CURRENT]] = -1
    clock[cell.BEST] = np.iinfo(np.int64).max
    clock[cell.SEEKING] = teacher is None
    clock[cell.DISTANCE] = np.count_nonzero(signs != reference)
    tally = np.zeros(counts.FLIPPED + 5 * n + 1 if counting else 0, np.int64)
    if counting:
        tally[[counts.NEXT, counts.NEXT_MARK, counts.NEXT_BATCH, counts.SPACING]] = 1
    return RunState(
        clock,
        latent.astype(np.float64),
        signs,
        reference,
        since=np.zeros(n, np.int64),
        plus=np.zeros(n if levels == 2 else n * levels, np.int64),
        since_mass=np.zeros(n),
        balance=np.zeros(n),
        epoch=np.zeros(n),
        mass=np.zeros(3),
        moments=np.zeros(0),
        tally=tally,
    )
