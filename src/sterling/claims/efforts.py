"""How much each experiment does at each effort. Budgets are trials, steps and widths, so that they give the
same numbers everywhere; time limits are a safety net only.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scaling:
    """An adaptive study of N₅₀ against n.

    Attributes
    ----------
    n : tuple of int
    width : float
        Of the 95 % interval of the exponent at which it ends.
    steps : tuple of int
        Step budgets of a trial; each is fitted by itself, the last one is the main one.
    max_trials : int
        For each budget.
    noise : float
    limit : float
        Seconds, the safety net.
    """

    n: tuple[int, ...]
    width: float
    steps: tuple[int, ...]
    max_trials: int
    noise: float = 0.0
    limit: float = 60.0


@dataclass(frozen=True)
class Recurrence:
    """Long runs under label noise at places (n, N), on so many data sets each."""

    places: tuple[tuple[int, int], ...]
    steps: int
    instances: int
    noise: float = 0.5


@dataclass(frozen=True)
class StepSizes:
    """Success at one n over sample sizes and schedules; ``landscape_n`` and so on for the exact part."""

    n: int
    factors: tuple[float, ...]
    rates: tuple[float, ...]
    exponents: tuple[float, ...]
    trials: int
    steps: int
    landscape_n: int
    landscapes: int
    starts: int
    limit: float = 60.0


@dataclass(frozen=True)
class Inputs:
    """Success share of each input family and normalisation, at sample sizes in units of n·ln n."""

    n: int
    factors: tuple[float, ...]
    trials: int
    steps: int
    families: tuple[str, ...] = (
        "gaussian",
        "uniform",
        "rademacher",
        "student_t:4",
        "exponential",
        "rectified",
        "shifted:0.5",
        "ar1:0.8",
        "ar1:0.98",
    )
    limit: float = 60.0


@dataclass(frozen=True)
class Population:
    """Gradients averaged over data sets at states of several distances from w*."""

    n: int
    m: int
    samples: int
    instances: int
    distances: int
    surrogates: tuple[str, ...] = (
        "relu",
        "identity",
        "clipped_relu",
        "hard_tanh",
        "sigmoid",
        "approx_sign",
        "swish_sign",
    )


@dataclass(frozen=True)
class Rates:
    """Verdicts under step sizes that meet the theorem's terms and under some that do not.

    Attributes
    ----------
    factor : float
        Samples in units of n·ln n.
    steps : int
        Of schedules that meet the terms; runs that are absorbed end early.
    failing_steps : int
        Of summable ones, whose last weights can flip for ever around zero at ever smaller latents.
    """

    n: int
    factor: float
    trials: int
    steps: int
    failing_steps: int = 100_000
    meeting: tuple[str, ...] = ("constant:0.5", "power:0.5,0.5", "power:2,1")
    failing: tuple[str, ...] = ("power:0.5,1.5", "power:0.5,2", "table:0.5,0.5,0.5,0.5,0")
    limit: float = 60.0


@dataclass(frozen=True)
class Concentration:
    """Exhaustive landscapes over n and N; ``few`` are sample sizes at which only traps are counted."""

    n: tuple[int, ...]
    samples: tuple[int, ...]
    few: tuple[int, ...]
    instances: int


@dataclass(frozen=True)
class Surrogates:
    """Surrogates on the same noisy instances.

    Attributes
    ----------
    instances : int
        For each sample size, with the surrogates whose derivative is piecewise constant.
    smooth_instances : int
        How many of them are run with the smooth surrogates too, which take every step and so cost most.
    """

    n: int
    samples: tuple[int, ...]
    instances: int
    smooth_instances: int
    steps: int
    noise: float = 0.5
    surrogates: tuple[str, ...] = ("relu", "identity", "clipped_relu", "hard_tanh")
    smooth: tuple[str, ...] = ("sigmoid", "approx_sign", "swish_sign")


@dataclass(frozen=True)
class Effort:
    """All experiments at one effort."""

    name: str
    noiseless: Scaling
    noisy: Scaling
    recurrence: Recurrence
    step_sizes: StepSizes
    inputs: Inputs
    population: Population
    rates: Rates
    concentration: Concentration
    surrogates: Surrogates = field(repr=False)


QUICK = Effort(
    name="quick",
    noiseless=Scaling(n=(8, 16, 32, 64), width=0.25, steps=(1_000, 10_000), max_trials=20_000),
    noisy=Scaling(n=(6, 8, 12, 16), width=0.6, steps=(20_000,), max_trials=4_000, noise=0.5),
    recurrence=Recurrence(places=((16, 400), (16, 1600), (32, 6400)), steps=1_000_000, instances=8),
    step_sizes=StepSizes(
        n=24,
        factors=(0.25, 0.4, 0.6, 0.9, 1.4, 2.0),
        rates=(0.05, 0.5, 5.0),
        exponents=(0.0, 0.5),
        trials=50,
        steps=100_000,
        landscape_n=10,
        landscapes=6,
        starts=6,
    ),
    inputs=Inputs(n=24, factors=(4.0, 16.0), trials=30, steps=10_000),
    population=Population(n=24, m=2, samples=20_000, instances=12, distances=4),
    rates=Rates(n=24, factor=4.0, trials=60, steps=10**8, failing_steps=100_000),
    concentration=Concentration(
        n=(8, 10, 12), samples=(100, 400, 1600, 6400), few=(6, 12, 25, 50), instances=8
    ),
    surrogates=Surrogates(n=16, samples=(1000,), instances=24, smooth_instances=3, steps=8_000),
)

DEFAULT = Effort(
    name="default",
    noiseless=Scaling(
        n=(8, 16, 32, 64, 128), width=0.06, steps=(1_000, 10_000, 100_000), max_trials=50_000, limit=240.0
    ),
    noisy=Scaling(
        n=(8, 12, 16, 24, 32, 48, 64), width=0.25, steps=(50_000,), max_trials=20_000, noise=0.5, limit=240.0
    ),
    recurrence=Recurrence(
        places=((16, 400), (16, 1600), (32, 6400), (32, 12_800)), steps=10_000_000, instances=12
    ),
    step_sizes=StepSizes(
        n=32,
        factors=(0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0),
        rates=(0.05, 0.5, 5.0),
        exponents=(0.0, 0.5),
        trials=200,
        steps=200_000,
        landscape_n=12,
        landscapes=12,
        starts=20,
        limit=120.0,
    ),
    inputs=Inputs(n=32, factors=(4.0, 16.0, 64.0), trials=100, steps=20_000, limit=120.0),
    population=Population(n=64, m=4, samples=50_000, instances=20, distances=6),
    rates=Rates(n=32, factor=4.0, trials=300, steps=10**9, failing_steps=200_000, limit=60.0),
    concentration=Concentration(
        n=(8, 10, 12, 14),
        samples=(100, 400, 1600, 6400, 25_600),
        few=(6, 12, 25, 50),
        instances=16,
    ),
    surrogates=Surrogates(n=32, samples=(1600, 6400), instances=80, smooth_instances=10, steps=20_000),
)

FULL = Effort(
    name="full",
    noiseless=Scaling(
        n=(8, 16, 32, 64, 128, 256),
        width=0.03,
        steps=(10_000, 100_000, 1_000_000),
        max_trials=1_000_000,
        limit=10_800.0,
    ),
    noisy=Scaling(
        n=(8, 12, 16, 24, 32, 48, 64),
        width=0.1,
        steps=(50_000, 500_000),
        max_trials=100_000,
        noise=0.5,
        limit=10_800.0,
    ),
    recurrence=Recurrence(
        places=((16, 400), (16, 1600), (32, 6400), (32, 12_800), (64, 50_000)),
        steps=100_000_000,
        instances=20,
    ),
    step_sizes=StepSizes(
        n=64,
        factors=(0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0),
        rates=(0.05, 0.5, 5.0),
        exponents=(0.0, 0.5, 0.75),
        trials=1000,
        steps=10_000_000,
        landscape_n=16,
        landscapes=20,
        starts=50,
        limit=3600.0,
    ),
    inputs=Inputs(n=64, factors=(4.0, 16.0, 64.0, 256.0), trials=500, steps=200_000, limit=3600.0),
    population=Population(n=128, m=8, samples=200_000, instances=50, distances=10),
    rates=Rates(n=64, factor=4.0, trials=2000, steps=10**10, failing_steps=1_000_000, limit=1200.0),
    concentration=Concentration(
        n=(8, 10, 12, 14, 16, 18),
        samples=(100, 400, 1600, 6400, 25_600, 102_400),
        few=(6, 12, 25, 50),
        instances=24,
    ),
    surrogates=Surrogates(
        n=64, samples=(6400, 12_800, 25_600), instances=200, smooth_instances=24, steps=200_000
    ),
)

EFFORTS = {effort.name: effort for effort in (QUICK, DEFAULT, FULL)}
