"""Nodes and weights for the integrals of this room: Gauss between edges, and over the normal law."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache
def legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights on [−1, 1]."""
    return np.polynomial.legendre.leggauss(count)


@lru_cache
def hermite(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the normal law, which sum up to one."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def panels(edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights, the same number between each edge and the next."""
    nodes, weights = legendre(count)
    low, high = edges[:-1, None], edges[1:, None]
    half = (high - low) / 2
    return ((low + high) / 2 + half * nodes).ravel(), (half * weights).ravel()
