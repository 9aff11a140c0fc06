"""`train` and `resume`, the doors to a run; `options.py` checks what is given, and `run.py` does the work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from sterling.base import checks
from sterling.base.progress import ProgressCallback
from sterling.dynamics.options import RECORDS, Options, initial_latent
from sterling.dynamics.orbit import Orbit
from sterling.dynamics.restart import Restart
from sterling.dynamics.run import begin, go_on
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.optimizers.base import Optimizer
from sterling.optimizers.batch import Batch
from sterling.schedules import MAX_STEPS, Schedule
from sterling.surrogates import Surrogate


def train(
    instance: Instance,
    steps: int = 1_000_000,
    schedule: Schedule | None = None,
    surrogate: str | Surrogate = "relu",
    init: int | np.random.SeedSequence | np.random.Generator | np.ndarray = 0,
    engine: str = "auto",
    record: str | Iterable[str] = RECORDS,
    progress: bool | ProgressCallback = False,
    *,
    restart: Restart | int | None = None,
    optimizer: Optimizer | str = "sgd",
    batch: Batch | int | None = None,
    seed: int | np.random.SeedSequence | np.random.Generator = 0,
    threads: int | None = None,
    cache_bytes: float | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: float = 20.0,
) -> Orbit:
    """Run the STE-gradient method on an instance.

    Parameters
    ----------
    instance : Instance
        The data. Of its k ``levels`` a weight takes the one nearest to its latent, ties upwards. For k > 2
        thresholds are (j − k/2)Δ with Δ = 3/(k√n), and every step is taken: "event" is for two levels.
    steps : int
        Number of steps T, at most 10¹². Once no weight can change any more, the rest takes no time.
    schedule : Schedule
        Step sizes η_t in units where the readout has norm one; `Power(0.5, 0.5)` by default. Other optimisers
        have other defaults, see there.
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`.
    init : int, SeedSequence, Generator or float array (n,)
        A seed for latents u_0 ~ N(0, 1/n), or the latents.
    engine : "auto", "event", "step" or "dense"
        "event" moves from flip to flip. It needs a piecewise-constant surrogate, and SGD without momentum
        and clip, or Bop, at full batch. "step" takes every step, compiled. "dense" takes every step in NumPy,
        with any surrogate and optimiser, and defines what a run is. "auto" takes the first of them that can.
    record : collection of str
        Records besides averages and verdict: "flips", and "recurrence" for `Orbit.recurrence`, which takes a
        fixed amount of memory. Both by default; ``()`` for neither.
    progress : bool or callable
        True shows a display; a callable gets a `Progress` several times a second.
    restart : Restart or int, optional
        Set the latents to a multiple of the time average at regular intervals, see `Restart`; a number means
        ``Restart(every)``. By default the run never restarts.
    optimizer : Optimizer or str
        How a step uses the gradient: `SGD`, `Adam`, `Lion`, `SignSGD`, `Bop`, an `Optimizer` of your own, or
        text such as "sgd:momentum=0.9". By default plain gradient steps.
    batch : int or Batch, optional
        Samples of one step; all of them by default. A number means ``Batch(size)``, without replacement.
    seed : int, SeedSequence or Generator
        Seed of the batches.
    threads : int, optional
        Number of threads for one gradient; as many as there are cores by default. Results are the same for
        any value.
    cache_bytes : float, optional
        Memory for gradients of visited states, in bytes; 1 GiB by default, less where memory is short.
        Results are the same for any value.
    checkpoint : path, optional
        A file to save the run to, every ``checkpoint_every`` seconds and at the end.
    checkpoint_every : float
        Seconds between two saves.

    Returns
    -------
    Orbit
        The run.

    Raises
    ------
    InputError
        If an argument cannot be used (`InputTypeError` if its type is wrong).
    KeyboardInterrupt
        After Ctrl-C, with the run so far as its attribute ``orbit``; `resume` continues it.
    StoreError
        If the last save fails, with the run as its attribute ``orbit``. Earlier failures give a warning.

    Warns
    -----
    SterlingWarning
        If the schedule violates one of the paper's conditions, or a save before the end fails.

    References
    ----------
    The method: Jeong, Xin & Yin, arXiv 2505.18113. Tests compare the orbits of both engines flip for flip
    (`tests/oracle`).

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=16, samples=600).draw(seed=0)
    >>> orbit = st.train(instance, steps=100_000)
    >>> orbit.verdict, orbit.certified, orbit.errors
    (Verdict.OPTIMAL, True, 0)

    With label noise the run leaves the teacher and comes back, and its time average is right:

    >>> noisy = st.Problem(n=8, samples=100, noise=0.5).draw(seed=0)
    >>> orbit = st.train(noisy, steps=20_000, schedule=st.Power(rate=0.5, exponent=0.5), init=1)
    >>> orbit.verdict, orbit.visits > 100, orbit.ergodic_errors
    (Verdict.RECURRENT, True, 0)
    """
    checks.instance_of(instance, Instance, "instance", "an Instance, as Problem.draw(seed) makes it")
    options = Options(
        steps=steps,
        schedule=schedule,  # type: ignore[arg-type]
        surrogate=surrogate,  # type: ignore[arg-type]
        engine=engine,
        restart=restart,  # type: ignore[arg-type]
        optimizer=optimizer,  # type: ignore[arg-type]
        batch=batch,  # type: ignore[arg-type]
        seed=seed,  # type: ignore[arg-type]
        record=record,  # type: ignore[arg-type]
        progress=progress,
        threads=threads,  # type: ignore[arg-type]
        cache_bytes=cache_bytes,  # type: ignore[arg-type]
        checkpoint=checkpoint,  # type: ignore[arg-type]
        checkpoint_every=checkpoint_every,
    )
    return begin(instance, options, initial_latent(instance.n, init, instance.levels))


def resume(
    orbit: Orbit,
    instance: Instance,
    steps: int | None = None,
    progress: bool | ProgressCallback = False,
    *,
    threads: int | None = None,
    cache_bytes: float | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: float = 20.0,
) -> Orbit:
    """Continue a run from its end; the result equals that of one uninterrupted run, bit for bit.

    Parameters
    ----------
    orbit : Orbit
        A run from `train`, `resume` or `Orbit.load`. It is not changed.
    instance : Instance
        The instance of that run.
    steps : int, optional
        Further steps to take: after ``train(instance, steps=a)``, ``steps=b`` gives the run of a + b steps.
        By default, the steps that an interrupted run still has to take.
    progress, threads, cache_bytes, checkpoint, checkpoint_every
        As in `train`.

    Returns
    -------
    Orbit
        The whole run.

    Raises
    ------
    CheckpointError
        If the run belongs to another instance.
    InputError
        If the run has all its planned steps and ``steps`` is not given.
    KeyboardInterrupt, StoreError
        As in `train`.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=8, samples=100, noise=0.5).draw(seed=0)
    >>> half = st.train(instance, steps=5_000)
    >>> whole = st.resume(half, instance, steps=5_000)
    >>> bool((whole.latent == st.train(instance, steps=10_000).latent).all())
    True
    """
    checks.instance_of(orbit, Orbit, "orbit", "an Orbit, or Orbit.load(path)")
    checks.instance_of(instance, Instance, "instance", "the Instance of that run")
    planned = orbit.planned if steps is None else orbit.steps + checks.integer(steps, "steps", 1, MAX_STEPS)
    if planned > MAX_STEPS:
        raise InputError(f"the run would have {planned:,} steps in all; at most {MAX_STEPS:,} are possible")
    if planned <= orbit.steps:
        raise InputError(f"the run has all of its {orbit.steps:,} steps: say how many more steps")
    options = replace(
        orbit._course.options,
        steps=planned,
        engine=orbit.engine,
        progress=progress,
        threads=threads,  # type: ignore[arg-type]
        cache_bytes=cache_bytes,  # type: ignore[arg-type]
        checkpoint=checkpoint,  # type: ignore[arg-type]
        checkpoint_every=checkpoint_every,
    )
    return go_on(orbit, instance, options)
