"""A classifier for scikit-learn with 1-bit or low-bit weights, trained by the straight-through estimator.

It minimises the joint logistic loss and decodes the time average; ``loss="squared"`` is the paper's method.
"""

from __future__ import annotations

from sterling.base.extras import how_to_install

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(f"sterling.learn needs scikit-learn: {how_to_install('learn')}") from error

from sterling.learn.card import Card
from sterling.learn.classifier import StraightThroughClassifier
from sterling.learn.export import MODEL_VERSION

__all__ = ["MODEL_VERSION", "Card", "StraightThroughClassifier"]
