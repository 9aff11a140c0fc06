"""The compiled engines equal the dense one to the last bit, and that equals PyTorch in float64.

Optimisers, sizes, noise, surrogates, schedules and batches are drawn. Some latents start at zero, at a
threshold, or equal to one another, so that several weights turn at once or sit exactly on a tie.
"""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.options import Options
from sterling.dynamics.steps import Batches
from sterling.model.signal import signal_of
from sterling.optimizers.batch import as_batch
from sterling.surrogates import get_surrogate
from tests.support import PIECEWISE, assert_same_orbit, counted

_CASES = counted(100, 1000)
_STEPS = 80
_TORCH_STEPS = counted(300, 1000)


def _case(number: int, engine: str) -> tuple:
    """Return data and the arguments of `train` for a random case that the engine takes."""
    rng = np.random.default_rng((18 if engine == "step" else 3, number))
    n, m = int(rng.choice([2, 5, 8, 17, 31, 48, 65, 70])), int(rng.choice([1, 1, 2, 3]))
    samples = int(rng.integers(4, 12 * n))
    kind = rng.random()
    if kind < 0.3:  # small whole numbers: gradients and latents tie; or features of unlike scales
        inputs = rng.integers(-2, 3, (samples, m, n)).astype(float)
        inputs[0], inputs[1] = -2, 2
        if kind < 0.15:
            inputs = inputs * 2.0 ** rng.integers(0, 17, n) + rng.integers(-5, 5, n)
        teacher = rng.choice([-1, 1], n)
        labels = (inputs @ teacher > 0).sum(axis=1)
        labels = np.where(rng.random(samples) < 0.2, rng.integers(0, m + 1, samples) * 0.3, labels)
        known = {"teacher": teacher} if rng.random() < 0.6 else {}
        instance = st.Instance(inputs, labels, precision=str(rng.choice(["int16", "int32"])), **known)
    else:
        noise = float(rng.choice([0.0, 0.5, 1.0]))
        instance = st.Problem(n=n, samples=samples, m=m, noise=noise).draw(seed=number)
    surrogate = str(rng.choice(PIECEWISE))
    latent = rng.normal(size=n) / np.sqrt(n)
    if rng.random() < 0.25:
        latent[:] = rng.choice([0.0, 0.125, -0.125], n)
    while True:
        optimizer, batch = _optimizer(rng), _batch(rng, samples)
        signal = signal_of(instance, get_surrogate(surrogate))
        if optimizer.uses_signal and not signal > 0:
            continue
        given = Options(optimizer=optimizer, batch=as_batch(batch, samples), signal=1.0)
        if engine == ("step" if given.motion is None else "event") and not given.plain:
            break
    rate = float(rng.choice([0.02, 0.1, 0.3])) * (0.1 if optimizer.scale_free else 1.0)
    if optimizer.damping:
        rate = min(rate, 0.3 / (optimizer.damping * signal + 0.05))
    schedule = [
        st.Constant(rate),
        st.Power(rate, float(rng.choice([0.25, 0.5, 1.0]))),
        st.Table([rate * float(part) for part in rng.random(int(rng.integers(1, 40)))] + [rate / 2]),
    ][int(rng.integers(3))]
    options = {
        "schedule": None if optimizer.name == "bop" else schedule,
        "surrogate": surrogate,
        "init": latent,
        "optimizer": optimizer,
        "batch": batch,
        "seed": number,
    }
    return instance, options


def _optimizer(rng: np.random.Generator) -> st.Optimizer:
    clip, decay, damping, band, momentum = (
        float(value) if rng.random() < 0.3 else 0.0
        for value in (rng.choice([0.05, 0.5]), 0.05, 0.5, rng.choice([0.125, 5.0]), rng.choice([0.5, 0.9]))
    )
    kind = rng.random()
    if kind < 0.4:
        return st.SGD(momentum=momentum, clip=clip or None, decay=decay, damping=damping, band=band)
    if kind < 0.6:
        betas = (0.0, 0.5) if rng.random() < 0.3 else (0.9, 0.999)
        return st.Adam(betas=betas, clip=clip or None, decay=decay, damping=damping)
    if kind < 0.75:
        return st.Lion(decay=decay)
    if kind < 0.85:
        return st.SignSGD()
    return st.Bop(gamma=float(rng.choice([0.01, 0.4, 0.9])), threshold=float(rng.choice([0.1, 0.5])))


def _batch(rng: np.random.Generator, samples: int) -> st.Batch | None:
    if rng.random() < 0.25:
        return None
    size, again = int(rng.choice([1, 3, 8, 32, samples, 2 * samples])), bool(rng.random() < 0.4)
    return st.Batch(size if again else min(size, samples), replace=again)


@pytest.mark.parametrize("engine", ["event", "step"])
@pytest.mark.parametrize("first", range(0, _CASES, 20))
def test_compiled_equals_dense(engine, first):
    """Each case also stops in the middle, on the compiled engine, and goes on from there."""
    flips = 0
    for number in range(first, first + 20):
        instance, options = _case(number, engine)
        dense = st.train(instance, _STEPS, engine="dense", **options)
        compiled = st.train(instance, _STEPS, engine=engine, **options)
        assert_same_orbit(compiled, dense)
        half = st.train(instance, _STEPS // 3, engine=engine, **options)
        assert_same_orbit(st.resume(half, instance, _STEPS - _STEPS // 3), compiled)
        flips += len(dense.flips)
    assert flips > (500 if engine == "step" else 100)


@pytest.mark.parametrize("teacher", [True, False])
def test_batches_do_not_depend_on_threads_or_on_stops(teacher):
    problem = st.Problem(n=16, samples=5_000, noise=0.5)
    drawn = problem.draw(seed=1)
    instance = drawn if teacher else st.Instance(drawn.inputs, drawn.labels)
    options = {"schedule": st.Constant(0.05), "batch": 64, "optimizer": st.SGD(momentum=0.5), "seed": 3}
    whole = st.train(instance, 400, threads=1, **options)
    assert_same_orbit(st.train(instance, 400, threads=2, **options), whole)
    parts = st.train(instance, 1, **options)
    for steps in (1, 77, 100, 221):  # 79 batches make an epoch
        parts = st.resume(parts, instance, steps)
    assert_same_orbit(parts, whole)
    assert len(whole.flips) > 100


_TORCH = {
    "momentum": (st.SGD(momentum=0.9), 0.02),
    "adam": (st.Adam(), 0.01),
    "adamw": (st.Adam(betas=(0.8, 0.95), decay=0.1), 0.01),
    "lion": (st.Lion(decay=0.1), 0.01),
}


@pytest.mark.parametrize("name", _TORCH)
@pytest.mark.parametrize("batch", [None, 16, st.Batch(400, replace=True)])
@pytest.mark.parametrize("seed", range(1, counted(1, 20) + 1))
def test_float64_in_torch(name, batch, seed):
    """PyTorch's own optimisers, with its own gradients, turn the same weights in each step.

    A first difference counts only if the latent in PyTorch is not within 1e-9 of a tie.
    """
    torch = pytest.importorskip("torch")
    optimizer, rate = _TORCH[name]
    instance = st.Problem(n=20, samples=150, m=2, noise=0.5).draw(seed)
    schedule = st.Power(rate, 0.25)
    arguments = instance, _TORCH_STEPS, schedule, "relu", seed
    options = {"optimizer": optimizer, "batch": batch, "seed": 1}
    orbit = st.train(*arguments, "dense", **options)
    if batch is not None:
        assert_same_orbit(st.train(*arguments, "step", **options), orbit)
    batches = Batches(Options(batch=batch, seed=1), instance.samples)
    assert _follow(torch, instance, orbit, name, optimizer, schedule, batches) > 100
    assert len(orbit.flips) > 100


def _follow(torch, instance, orbit, name, optimizer, schedule, batches) -> int:
    """Take the steps of an orbit in PyTorch; return how many agree before a tie of floats."""
    from tests.oracle.test_torch_loop import Sign, straight_through

    step = straight_through("relu")
    inputs, labels, readout = (
        torch.tensor(one) for one in (instance.inputs, instance.labels, instance.readout)
    )
    latent = torch.nn.Parameter(torch.tensor(orbit.start_latent))
    if name == "lion":
        moment = torch.zeros_like(latent)
    elif name.startswith("adam"):
        kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
        decay = {"weight_decay": optimizer.decay} if name == "adamw" else {}
        torch_optimizer = kind([latent], betas=optimizer.betas, eps=optimizer.eps, foreach=False, **decay)
    else:
        torch_optimizer = torch.optim.SGD([latent], lr=1.0, momentum=optimizer.momentum, foreach=False)
    signs, ends = orbit.start_signs.copy(), orbit.flips
    for t in range(orbit.steps):
        chosen = batches.at(t)
        rows, targets = (inputs, labels) if chosen is None else (inputs[chosen], labels[chosen])
        latent.grad = None
        outputs = step(rows @ Sign.apply(latent), instance.n) @ readout
        (0.5 * ((outputs - targets) ** 2).mean()).backward()
        rate = schedule.at(t) * (1.0 if optimizer.scale_free else 1 / instance.readout_norm2)
        with torch.no_grad():
            if name == "lion":
                first, second = optimizer.betas
                direction = torch.sign(first * moment + (1 - first) * latent.grad)
                latent.mul_(1 - rate * optimizer.decay).sub_(rate * direction)
                moment.mul_(second).add_((1 - second) * latent.grad)
            else:
                torch_optimizer.param_groups[0]["lr"] = rate
                torch_optimizer.step()
        turned = ends["coordinate"][ends["step"] == t + 1]
        signs[turned] *= -1
        now = latent.detach().numpy()
        other = np.flatnonzero((now >= 0) != (signs > 0))
        if other.size:
            assert np.all(np.abs(now[other]) < 1e-9), (name, t, now[other])
            return t
    return orbit.steps
