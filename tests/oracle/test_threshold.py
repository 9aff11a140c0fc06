"""The exact statements of docs/science, 17, against the rule itself, step by step."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

import sterling as st


def signs_of(latent):
    """Return the weights of latents, with sign(0) = +1."""
    return np.where(latent >= 0, 1, -1)


def turned(latent, weights, band):
    """Return the weights after a step: one turns once its latent lies beyond the band on the other side."""
    return signs_of(latent) if band == 0 else np.where(weights * latent < -band, -weights, weights)


@pytest.mark.parametrize("damping, decay, band", [(0.5, 0, 0), (0.3, 0.2, 4), (0, 0.1, 3), (0, 0.1, 0)])
def test_a_state_absorbs_if_and_only_if_no_push_exceeds_the_threshold(damping, decay, band):
    """Statements 2 and 4: every state of small problems, from latents near and far."""
    random, seen = np.random.default_rng(1), set()
    for seed, noise in enumerate((0.0, 0.3, 1.0)):
        instance = st.Problem(n=5, samples=12, noise=noise).draw(seed=seed)
        signal = st.theory.signal(instance)
        pull, edge = damping * signal, band * signal
        rate, threshold = 0.2 / (pull + decay), pull + edge * (pull + decay)
        for state in product((-1, 1), repeat=5):
            weights = np.array(state)
            gradient = instance.gradient(weights)
            absorbing = bool((weights * gradient <= threshold).all())
            seen.add(absorbing)
            for size in (0.0, 0.01, 3.0):
                latent = weights * (size * random.random(5) + 1e-9 - edge)
                for _ in range(400):
                    latent = (1 - rate * decay) * latent - rate * (gradient + pull * (latent - weights))
                    if not (stays := np.array_equal(turned(latent, weights, edge), weights)):
                        break
                assert stays == absorbing
    assert seen == {False, True}


def test_the_clock_gives_the_step_of_the_next_flip():
    """Statement 3, and the straight line in M of statement 1."""
    random = np.random.default_rng(2)
    for seed in range(20):
        instance = st.Problem(n=8, samples=30, noise=0.5).draw(seed=seed)
        kappa = 0.25 * st.theory.signal(instance)
        start = latent = 0.1 * random.standard_normal(8)
        weights = signs_of(latent)
        gradient = instance.gradient(weights)
        out = weights * gradient - kappa
        clocks = [math.log1p(kappa * abs(u) / o) for u, o in zip(latent, out, strict=True) if o > 0]
        clock, step = 0.0, 0
        while np.array_equal(signs_of(latent), weights) and step < 2_000:
            rate = 0.5 / math.sqrt(step + 1)
            latent = latent - rate * (gradient + kappa * (latent - weights))
            clock -= math.log1p(-rate * kappa)
            step += 1
            moved = -math.expm1(-clock) / kappa
            np.testing.assert_allclose(
                latent, start - moved * (gradient + kappa * (start - weights)), atol=1e-12
            )
            assert np.array_equal(signs_of(latent), weights) == (clock < min(clocks, default=math.inf))


@pytest.mark.parametrize("surrogate", ["relu", "identity"])
@pytest.mark.parametrize("damping", [0.5, 0.4])
def test_each_weight_turns_at_most_once_if_the_deviation_is_small(surrogate, damping):
    """Statement 5: under label noise every start ends at the teacher within the proved time."""
    random, covered = np.random.default_rng(3), 0
    for seed in range(8):
        instance = st.Problem(n=8, samples=6_000, noise=0.5).draw(seed=seed)
        signal = st.theory.signal(instance, surrogate=surrogate)
        deviation = st.landscape(instance, surrogate=surrogate).deviation
        spare = (1 - damping) * signal - deviation
        if deviation > damping * signal or spare <= 0:
            continue
        covered += 1
        kappa = damping * signal
        latent = random.standard_normal(8) * random.choice([0.1, 1.0, 5.0])
        weights, turns = signs_of(latent), np.zeros(8, int)
        wrong = weights != instance.teacher
        farthest = np.abs(latent[wrong]).max(initial=0.0)
        steps = math.ceil(math.log1p(kappa * farthest / spare) / -math.log1p(-0.3)) + 1
        for _ in range(2 * steps):
            latent = latent - 0.3 / kappa * (
                instance.gradient(weights, surrogate) + kappa * (latent - weights)
            )
            turns += signs_of(latent) != weights
            weights = signs_of(latent)
            steps -= 1
            assert steps > 0 or np.array_equal(weights, instance.teacher)
        assert np.array_equal(turns, wrong)
    assert covered >= 6
