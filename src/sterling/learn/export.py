"""Predictions from logits, and what leaves Python: JSON files, packed codes, a C header of integers only."""

from __future__ import annotations

import json
import math
from typing import Any, Self

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from sterling.base.arrays import real_array
from sterling.base.checks import integer
from sterling.base.files import read_json, write_atomically
from sterling.errors import InputError
from sterling.learn.training import probabilities
from sterling.model.levels import MAX_LEVELS, level_values

DECIDED = 0.975  # probability from which on a bit is decided
LARGEST = 2**27  # bytes of a model file that is read
#: Version of the format of model files. A file of another version is refused.
MODEL_VERSION = 3
#: The templates of this room; values are escaped in HTML.
TEMPLATES = Environment(trim_blocks=True, lstrip_blocks=True, autoescape=select_autoescape())
TEMPLATES.loader = PackageLoader("sterling.learn")
_FORMAT = "sterling classifier"
_ARRAYS = "coef_", "scale_", "intercept_", "_mean", "_factor", "_reach", "bit_probability_"
_BITS = 27  # of the largest training inputs of the C function; int32 has room for 8 times as much
_ROOM = 60  # bits of the sums in C, for all int32 inputs


class Predicting:
    """Predictions of classifiers and cards, from their logits."""

    def predict(self: Any, X) -> np.ndarray:
        """Return the most probable class of each sample, from ``classes_``."""
        return self._labels(self._logits(X))

    def predict_proba(self: Any, X) -> np.ndarray:
        """Return the probability of each class, float64 (N, classes)."""
        found = probabilities(self._logits(X))
        return np.hstack([1 - found, found]) if found.shape[1] == 1 else found

    def decision_function(self: Any, X) -> np.ndarray:
        """Return the logits (N, classes), float64; of two classes the log-odds of the second, (N,)."""
        logits = self._logits(X)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def _labels(self: Any, logits: np.ndarray) -> np.ndarray:
        two = logits.shape[1] == 1
        return self.classes_[(logits[:, 0] > 0).astype(int) if two else logits.argmax(axis=1)]


class Exported:
    """`StraightThroughClassifier` as JSON that a person can read, as bits, and in C."""

    def to_dict(self: Any) -> dict[str, Any]:
        """Return all that prediction needs, and the settings, as values that JSON can hold.

        Left out are latents, runs, training data, and settings that JSON cannot hold.
        """
        check_is_fitted(self)
        plain = int | float | str | np.generic | None
        given = {name: one for name, one in self.get_params().items() if isinstance(one, plain)}
        settings = {name: one.item() if isinstance(one, np.generic) else one for name, one in given.items()}
        return {
            "format": _FORMAT,
            "version": MODEL_VERSION,
            "settings": settings,
            "classes": _labels(self.classes_.tolist()).tolist(),
            "features": list(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None,
            "levels": self._levels,
            "values": self._values,
        } | {name: getattr(self, name).tolist() for name in _ARRAYS if hasattr(self, name)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the classifier of a dictionary from `to_dict`, all of which is checked."""
        known = isinstance(values, dict) and values.get("format") == _FORMAT
        if not known or values.get("version") != MODEL_VERSION:
            raise InputError(f"it is no saved classifier of version {MODEL_VERSION}: train the model again")
        found: Any = cls(**values["settings"])
        found._check_settings()
        found.classes_, names = _labels(values["classes"]), values["features"]
        found.n_features_in_ = n = len(values["_factor"])
        rows = len(found.classes_) if len(found.classes_) > 2 else 1
        shapes = dict.fromkeys(_ARRAYS, (n,)) | dict.fromkeys(("coef_", "bit_probability_"), (rows, n))
        for name, shape in (shapes | dict.fromkeys(("scale_", "intercept_"), (rows,))).items():
            if name in values or name != "bit_probability_":
                axes = ("row", "feature")[-len(shape) :]
                setattr(found, name, real_array(values[name], name, axes, shape, "the other entries"))
        found._levels = integer(values["levels"], "levels", 2, MAX_LEVELS)
        levels = np.isin(found.coef_, level_values(found._levels))
        if not np.where(found._factor > 0, levels, found.coef_ == 0).all():
            raise InputError("its coef_ must be levels, and zero where a feature is constant")
        found.coef_ = found.coef_.astype(np.int8)
        found._seen, found._values = None, values["values"]
        if found._values is not None:
            found._values = real_array(found._values, "values", ("value",), (2,), "two ends").tolist()
        if names is not None:
            if {type(name) for name in names} != {str} or not len(names) == len(set(names)) == n:
                raise InputError(f"its features must be {n} different names")
            found.feature_names_in_ = np.array(list(names), object)
        if "bit_probability_" in values:
            found.undecided_ = found.bit_probability_ < DECIDED
        return found

    def save(self, path) -> None:
        """Write `to_dict` as a JSON file; an old one is replaced once the new one is complete."""
        write(path, self.to_dict())

    @classmethod
    def load(cls, path) -> Self:
        """Return the classifier of a file from `save`, without running code; StoreError if a part is bad."""
        return read_json(path, cls.from_dict, "cannot be loaded", LARGEST)

    def to_bits(self: Any) -> np.ndarray:
        """Return the codes as bits, uint8 (rows of ``coef_``, bytes); `nbytes` counts what else is needed.

        A row has one plane of ⌈n/8⌉ bytes for each level but the lowest: its bits say which codes are at that
        level or above, the first code in the highest bit. With two levels a constant feature has the bit 0.
        """
        check_is_fitted(self)
        planes = [np.packbits(self.coef_ >= one, axis=1) for one in level_values(self._levels)[1:]]
        return np.concatenate(planes, axis=1)

    @property
    def nbytes(self: Any) -> int:
        """Bytes of all numbers that prediction needs.

        They are the packed codes, one bit a feature if some are constant, and as float64 the scales, the
        intercepts, the means and the factors of the normalisation.
        """
        codes, varies = self.to_bits(), self._factor > 0
        mask = 0 if varies.all() else -(-len(varies) // 8)
        moments = 0 if self._plain else 2 * 8 * int(varies.sum())
        return mask + moments + codes.nbytes + self.scale_.nbytes + self.intercept_.nbytes

    def predict_packed(self: Any, packed) -> np.ndarray:
        """Return the most probable classes of inputs of one bit each, by population counts.

        The inputs are ``np.packbits(X == high, axis=1)``, uint8 (N, ⌈n/8⌉). The labels equal those of
        `predict`. The training inputs must have had two values in all, of which ``high`` is the larger, and
        ``normalize=None``.
        """
        codes, plain = self.to_bits(), self._plain
        if self._values is None or not plain:
            raise InputError("predict_packed needs inputs of two values and normalize=None: use predict")
        width, packed = -(-len(self._factor) // 8), np.asarray(packed)
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != width:
            raise InputError(f"packed must be a uint8 array (N, {width}), as np.packbits makes it")
        (low, high), levels = self._values, level_values(self._levels)
        packed = packed & np.packbits(self._factor > 0)
        planes = [packed, *(packed & plane for plane in codes.reshape(-1, width))]
        every, *both = (np.bitwise_count(plane).sum(axis=1, dtype=np.int64) for plane in planes)
        above = np.reshape(both, (len(self.coef_), -1, len(packed))).sum(axis=1).T
        sums = levels[0] * every[:, None] + (levels[1] - levels[0]) * above
        total = self.coef_.sum(axis=1, dtype=np.int64)
        return self._labels(((high - low) * sums + low * total) * self.scale_ + self.intercept_)

    def to_fixed(self: Any, X) -> np.ndarray:
        """Return inputs as the function of `to_c` takes them, int32 (N, n): x·2^shift rounded down."""
        limits = np.iinfo(np.int32)
        inputs = np.floor(np.ldexp(self._checked(X), self._shifts))
        return np.clip(inputs, limits.min, limits.max).astype(np.int32)

    def to_c(self: Any) -> str:
        """Return a C99 header that predicts with integers only.

        Its function takes the row of `to_fixed` of a sample and returns the number of its label in
        ``classes_``. The header states how far its rounding can go. No sum overflows, for any int32 inputs.
        """
        check_is_fitted(self)
        names: Any = _check_feature_names_in(self)
        levels, shifts = level_values(self._levels), self._shifts
        scale = np.abs(self.scale_)
        steps, centres = np.ldexp(self._factor, -shifts), self._mean * self._factor
        most = levels[-1] * float((2.0**31 * steps + np.abs(centres)).sum())
        unit = _ROOM - math.frexp(most)[1]
        power = min(-np.frexp(scale.max())[1] + 31, 93 - unit - np.frexp(np.abs(self.intercept_).max())[1])
        weights = np.rint(np.ldexp(scale, power)).astype(np.int64)
        offsets = np.rint(np.ldexp(self.intercept_, unit + power - 32)).astype(np.int64) - (weights << 29)
        error = levels[-1] * (len(shifts) * 2.0 ** (_BITS - unit) * scale.max() + most * 2.0**-power)
        return TEMPLATES.get_template("classifier.h").render(
            error=f"{error:.0e}",
            inputs=zip(shifts, names, strict=True),
            labels=self.classes_.tolist(),
            levels=levels,
            steps=np.rint(np.ldexp(steps, unit)).astype(np.int64).tolist(),
            centres=np.rint(np.ldexp(centres, unit)).astype(np.int64).tolist(),
            planes=self.to_bits().tolist(),
            signs=np.where(self.scale_ < 0, -1, 1).tolist(),
            weights=weights.tolist(),
            offsets=offsets.tolist(),
        )

    @property
    def _plain(self: Any) -> bool:
        """Whether the inputs are taken as they are."""
        return not self._mean.any() and bool(np.isin(self._factor, (0, 1)).all())

    @property
    def _shifts(self: Any) -> np.ndarray:
        return _BITS - np.frexp(self._reach)[1]


def write(path: Any, values: dict[str, Any]) -> None:
    """Write a dictionary as JSON, one entry a line."""
    lines = ",\n".join(f'"{name}": {json.dumps(value, allow_nan=False)}' for name, value in values.items())
    write_atomically(path, f"{{\n{lines}\n}}\n".encode())


def _labels(classes: list[Any]) -> np.ndarray:
    """Return labels as an array, if JSON has their type."""
    kinds = {type(one) for one in classes}
    if len(kinds) != 1 or not kinds <= {str, bool, int, float} or len(set(classes)) < max(2, len(classes)):
        raise InputError("its classes must be different texts or different numbers, two or more of one type")
    return np.array(list(classes))
