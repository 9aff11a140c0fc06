"""`train` and `resume`: check what the user asks for, choose an engine, run it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from functools import partial

import numpy as np

from sterling.base.arrays import refuse_masked
from sterling.base.files import as_path, printable, refusal
from sterling.base.progress import Show, showing
from sterling.dynamics.orbit import Orbit
from sterling.dynamics.run import Run, Times
from sterling.dynamics.walk import Walk
from sterling.errors import CheckpointError, InputError, SterlingWarning
from sterling.exact.mass import mass_between
from sterling.model.instance import Instance
from sterling.model.problem import LATENT, part_seed
from sterling.schedules import MAX_STEPS, Power, Schedule
from sterling.surrogates import SURROGATES, Surrogate, get_surrogate

#: Latents farther out would make ratios of gradient and latent vanish.
_FARTHEST = 1e100
#: What latents may reach on the way; a little less than the largest float.
_LARGEST = 1e307
_STEEPEST = 8  # no smooth surrogate's derivative exceeds it

ENGINES = ("auto", "event", "dense")
RECORDS = ("flips", "recurrence")


def train(
    instance: Instance,
    steps: int = 1_000_000,
    schedule: Schedule | None = None,
    surrogate: str | Surrogate = "relu",
    init: int | np.random.SeedSequence | np.ndarray = 0,
    engine: str = "auto",
    record: Iterable[str] = RECORDS,
    progress: bool | Show = False,
    *,
    threads: int | None = None,
    cache_bytes: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: float = 20.0,
) -> Orbit:
    """Run the STE-gradient method on an instance.

    Parameters
    ----------
    instance : Instance
    steps : int
        T, at most 10¹². Once the weights can change no more, the rest is stood in for.
    schedule : Schedule
        Step sizes η_t in units where the readout has norm one; `Power(0.5, 0.5)` by default.
    surrogate : str or Surrogate
        What replaces the derivative of the Heaviside function.
    init : int, SeedSequence or float array (n,)
        A seed for latents u_0 ~ N(0, 1/n), or the latents.
    engine : "auto", "event" or "dense"
        "event" moves from flip to flip and is exact for piecewise-constant surrogates; "dense" takes every
        step. Both give the same orbit. "auto" takes "event" where it can.
    record : collection of str
        What to keep besides averages and verdict: "flips", and "recurrence" for `Orbit.recurrence`, which
        takes a fixed amount of memory. Both by default; none with ``()``.
    progress : bool or callable
        True shows a display; a callable gets a `Progress` several times a second.
    threads : int, optional
        Threads for one gradient; all cores by default. The result does not depend on it.
    cache_bytes : int, optional
        Memory for gradients of visited states; 1 GiB by default, less where memory is short. The result
        does not depend on it.
    checkpoint : path, optional
        A file to save the run to, every ``checkpoint_every`` seconds and at the end.

    Returns
    -------
    Orbit
        Also after Ctrl-C, with what there is and ``interrupted`` set.

    Raises
    ------
    InputError
        For an argument that cannot be used.

    Warns
    -----
    SterlingWarning
        If the schedule fails one of the paper's terms.
    """
    _check_instance(instance)
    schedule = Power(0.5, 0.5) if schedule is None else schedule
    if not isinstance(schedule, Schedule):
        raise InputError(
            f"schedule is {schedule!r}; give Constant(rate), Power(rate, exponent) or Table(rates)"
        )
    latent = initial_latent(instance.n, init)
    kept = _check_record(record)
    walk = Walk.start(latent, instance.teacher, "recurrence" in kept)
    chosen = _known(get_surrogate(surrogate))
    name = _choose_engine(engine, chosen)
    planned = _check_steps(steps)
    _check_reach(instance, schedule, chosen, planned)
    for reason in schedule.conditions().failed:
        warnings.warn(f"this schedule fails a term of the theorem. {reason}", SterlingWarning, stacklevel=2)
    run = Run(
        instance=instance,
        surrogate=chosen,
        schedule=schedule,
        engine_name=name,
        make_engine=_engine_maker(name, instance, chosen, schedule, threads, cache_bytes),
        walk=walk,
        planned=planned,
        start_latent=latent,
        record_flips="flips" in kept,
    )
    return _go(run, progress, checkpoint, checkpoint_every)


def resume(
    orbit: Orbit,
    instance: Instance,
    steps: int | None = None,
    progress: bool | Show = False,
    *,
    threads: int | None = None,
    cache_bytes: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: float = 20.0,
) -> Orbit:
    """Go on from the end of a run; the result equals that of one uninterrupted run, bit for bit.

    Parameters
    ----------
    orbit : Orbit
        From `train`, `resume` or `Orbit.load`. It stays as it is.
    instance : Instance
        The instance of that run.
    steps : int, optional
        Further steps to take: after ``train(instance, steps=a)``, ``steps=b`` gives the run of a + b steps.
        By default what an interrupted run had left.
    progress, threads, cache_bytes, checkpoint, checkpoint_every
        As in `train`.

    Raises
    ------
    CheckpointError
        If the run belongs to another instance.
    InputError
        If no steps are left and none are given.
    """
    if not isinstance(orbit, Orbit):
        raise InputError(
            f"the first argument is a {type(orbit).__name__}; give an Orbit, or Orbit.load(path)"
        )
    _check_instance(instance)
    if orbit.instance.get("fingerprint") != instance.fingerprint:
        raise CheckpointError(
            f"the saved run belongs to another instance ({_describe(orbit.instance)}) than the one given "
            f"({_describe(instance.to_dict())}): give the same data, or start anew"
        )
    planned = orbit.planned if steps is None else orbit.steps + _check_steps(steps)
    if planned > MAX_STEPS:
        raise InputError(f"the run would have {planned:,} steps in all; at most {MAX_STEPS:,} are possible")
    if planned <= orbit.steps:
        raise InputError(f"the run has all of its {orbit.steps:,} steps: say how many more steps")
    surrogate = get_surrogate(orbit.surrogate)
    _check_reach(instance, orbit.schedule, surrogate, planned)
    returns, sojourns = orbit.recorded_times
    complete = orbit.flips_complete_to == orbit.steps
    run = Run(
        instance=instance,
        surrogate=surrogate,
        schedule=orbit.schedule,
        engine_name=orbit.engine,
        make_engine=_engine_maker(orbit.engine, instance, surrogate, orbit.schedule, threads, cache_bytes),
        walk=orbit.walk.copy(),
        planned=planned,
        start_latent=orbit.start_latent,
        record_flips=orbit.recorded,
        flips=[orbit.flips] if orbit.recorded else [],
        returns=Times(returns),
        sojourns=Times(sojourns),
        flips_complete_to=None if complete else orbit.flips_complete_to,
        spent=orbit.stats.seconds,
    )
    return _go(run, progress, checkpoint, checkpoint_every)


def initial_latent(n: int, init) -> np.ndarray:
    """Return u_0: the latents given, or N(0, 1/n) ones from a seed, the same on every machine.

    Normal codes on the grid 2^-12 are drawn exactly; a uniform share of a cell is added, so that no latent
    lies on a grid.
    """
    if isinstance(init, int | np.integer | np.random.SeedSequence) and not isinstance(init, bool):
        init = init if isinstance(init, np.random.SeedSequence) else int(init)
        from sterling.exact.sampling import draw_codes, words
        from sterling.model.families import Gaussian, family_table

        codes = draw_codes(family_table(Gaussian()), part_seed(init, LATENT, 0), (n,)).astype(np.float64)
        within = (words(part_seed(init, LATENT, 1), n) >> np.uint64(11)) * 2.0**-53 - 0.5
        return (codes + within) * (2.0**-12 / np.sqrt(n))
    try:
        latent = np.array(init)
    except ValueError:
        latent = np.array(None)
    if isinstance(init, bool) or latent.dtype.kind not in "iuf":
        raise InputError(f"init is {init!r}; give a seed or an array of {n} latents")
    refuse_masked(init, "init")
    latent = latent.astype(np.float64)
    if latent.shape != (n,):
        raise InputError(f"init has shape {latent.shape}; n={n} needs ({n},)")
    if not np.isfinite(latent).all():
        raise InputError(f"init holds a value that is not finite, at {int(np.argmin(np.isfinite(latent)))}")
    if np.abs(latent).max() > _FARTHEST:
        raise InputError(f"init reaches {np.abs(latent).max():g}; latents must lie within ±{_FARTHEST:g}")
    return latent


def _go(run: Run, progress: bool | Show, checkpoint, every: float) -> Orbit:
    number = isinstance(every, int | float | np.number) and not isinstance(every, bool)
    if not (number and every > 0):
        raise InputError(f"checkpoint_every is {every!r}; it must be a positive number of seconds")
    if checkpoint is not None:
        checkpoint = as_path(checkpoint, "checkpoint")
        reason = refusal(checkpoint)
        if reason is not None:
            raise InputError(f"checkpoint is {printable(checkpoint)}, {reason}")
    save = None if checkpoint is None else partial(_save, checkpoint)
    with showing(progress, "steps") as show:
        return run.go(show, save, every)


def _save(path, orbit: Orbit) -> None:
    orbit.save(path)


def _engine_maker(name, instance, surrogate, schedule, threads, cache_bytes):
    if name == "dense":
        from sterling.dynamics.dense import DenseEngine

        return partial(DenseEngine, instance, surrogate, schedule)
    from sterling.dynamics.event import EventEngine

    return partial(EventEngine, instance, surrogate, schedule, threads=threads, cache_bytes=cache_bytes)


def _choose_engine(engine: str, surrogate: Surrogate) -> str:
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}; it must be one of {', '.join(ENGINES)}")
    if engine == "auto":
        return "event" if surrogate.piecewise_constant else "dense"
    if engine == "event" and not surrogate.piecewise_constant:
        raise InputError(
            f"the event engine needs a piecewise-constant surrogate, and {surrogate.name} is smooth: "
            "take the dense engine"
        )
    return engine


def _known(surrogate: Surrogate) -> Surrogate:
    """Refuse a surrogate of the caller's own: a saved run knows its surrogate by name."""
    if SURROGATES.get(surrogate.name) != surrogate:
        raise InputError(
            f"{surrogate!r} is none of sterling's surrogates, so a saved run could not be taken up again: "
            f"take one of {', '.join(SURROGATES)}"
        )
    return surrogate


def _check_instance(instance) -> None:
    if not isinstance(instance, Instance):
        raise InputError(
            f"the first argument is a {type(instance).__name__}; give an Instance: one of your own "
            "data, or Problem.draw(seed)"
        )


def _check_steps(steps) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer):
        raise InputError(f"steps is {steps!r}; it must be an integer")
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"steps is {steps:,}; it must lie between 1 and {MAX_STEPS:,}")
    return int(steps)


def _check_reach(instance: Instance, schedule: Schedule, surrogate: Surrogate, steps: int) -> None:
    """Refuse step sizes so large that latents could leave the range of floats."""
    mass = mass_between(*schedule.kernel_arguments(1 / instance.readout_norm2), 0, steps)
    slope = 1 if surrogate.piecewise_constant else _STEEPEST
    if not mass * (instance.gradient_bound / instance.unit) * slope < _LARGEST:
        raise InputError(
            f"{schedule!r} moves latents beyond the range of floats within {steps:,} steps (their sum is "
            f"{mass:.3g}): take smaller rates or fewer steps"
        )


def _check_record(record) -> tuple[str, ...]:
    try:
        names = (record,) if isinstance(record, str) else tuple(record)
    except TypeError:
        raise InputError(f'record is {record!r}; give a collection of names such as ("flips",)') from None
    for name in names:
        if name not in RECORDS:
            raise InputError(f"cannot record {name!r}; known are {', '.join(RECORDS)}")
    return names


def _describe(instance: dict) -> str:
    return f"n={instance.get('n')}, m={instance.get('m')}, {instance.get('samples')} samples"
