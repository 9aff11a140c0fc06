"""Estimators for scikit-learn: 1-bit and low-bit models trained by the straight-through estimator.

They are thin: they put the data into an `Instance`, call `train`, and decode the time average.
"""

from __future__ import annotations

from sterling.base.extras import how_to_install

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(f"sterling.learn needs scikit-learn: {how_to_install('learn')}") from error

from sterling.learn.card import Card
from sterling.learn.classifier import StraightThroughClassifier
from sterling.learn.files import MODEL_VERSION

__all__ = ["MODEL_VERSION", "Card", "StraightThroughClassifier"]
