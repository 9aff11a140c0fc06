"""Nodes and weights of Gauss quadrature, between edges and over the normal distribution."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache
def legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights on [−1, 1]."""
    return np.polynomial.legendre.leggauss(count)


@lru_cache
def hermite(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the normal distribution; the weights sum to one."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def panels(edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` nodes and weights between each edge and the next."""
    nodes, weights = legendre(count)
    low, high = edges[:-1, None], edges[1:, None]
    half = (high - low) / 2
    return ((low + high) / 2 + half * nodes).ravel(), (half * weights).ravel()
