"""Models to carry away: packed codes, prediction by population counts, C headers of integers only."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from sklearn.utils.validation import check_is_fitted

from sterling.base.files import write_atomically
from sterling.errors import InputError
from sterling.learn.training import probabilities
from sterling.model.levels import level_values

#: Bits of the largest training inputs of the C function; int32 has room for 8 times as much.
BITS = 27
_ROOM = 2**61  # sums in C stay below it for all int32 inputs


class Exported:
    """What classifiers and cards have in common: predictions from logits, and a C header."""

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

    def to_c(self: Any, path=None) -> str:
        """Return a C99 header that predicts with integers only, and write it to a path if one is given.

        Its function takes the row of `to_fixed` of a sample and returns the number of its label in
        ``classes_``. The header states how far its rounding can go. No sum overflows, for any int32 inputs.
        """
        text = self._header()
        if path is not None:
            write_atomically(path, text.encode())
        return text

    def to_fixed(self: Any, X) -> np.ndarray:
        """Return inputs as the C function takes them, int32 (N, n): x·2^shift rounded down.

        The header states the shift of each feature.
        """
        limits = np.iinfo(np.int32)
        inputs = np.floor(np.ldexp(self._checked(X), self._shifts))
        return np.clip(inputs, limits.min, limits.max).astype(np.int32)

    def _labels(self: Any, logits: np.ndarray) -> np.ndarray:
        two = logits.shape[1] == 1
        return self.classes_[(logits[:, 0] > 0).astype(int) if two else logits.argmax(axis=1)]


class Packed:
    """The codes of `StraightThroughClassifier` as bits."""

    def to_bits(self: Any) -> np.ndarray:
        """Return the codes as bits, uint8 (rows of ``coef_``, bytes); `nbytes` counts what else is needed.

        A row has one plane of ⌈n/8⌉ bytes for each level but the lowest: its bits say which codes are at that
        level or above, the first code in the highest bit. With two levels a constant feature has the bit 0.
        """
        check_is_fitted(self)
        return _planes(self.coef_, self._levels)

    @property
    def nbytes(self: Any) -> int:
        """Bytes of all numbers that prediction needs.

        They are the packed codes, and as float64 the scales, the intercepts, the means and the factors of the
        normalisation; also one bit a feature, if some are constant.
        """
        check_is_fitted(self)
        varies = self._factor > 0
        mask = 0 if varies.all() else -(-len(varies) // 8)
        moments = 0 if self._plain else 2 * 8 * int(varies.sum())
        return mask + moments + self.to_bits().nbytes + self.scale_.nbytes + self.intercept_.nbytes

    def predict_packed(self: Any, packed) -> np.ndarray:
        """Return the most probable classes of inputs of one bit each, by population counts.

        The inputs are ``np.packbits(X == high, axis=1)``, uint8 (N, ⌈n/8⌉). The labels equal those of
        `predict`. The training inputs must have had two values in all, of which ``high`` is the larger, such
        as −1 and +1, or 0 and 1 for binned features, and ``normalize=None``.
        """
        check_is_fitted(self)
        if self._values is None or not self._plain:
            raise InputError(
                "predict_packed needs training inputs of two values and normalize=None: use predict"
            )
        width, packed = -(-len(self._factor) // 8), np.asarray(packed)
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != width:
            raise InputError(f"packed must be a uint8 array (N, {width}), as np.packbits makes it")
        (low, high), levels = self._values, level_values(self._levels)
        packed = packed & np.packbits(self._factor > 0)
        sums = levels[0] * np.bitwise_count(packed).sum(axis=1, dtype=np.int64)[:, None]
        for plane in self.to_bits().reshape(len(self.coef_), -1, width).swapaxes(0, 1):
            both = [np.bitwise_count(packed & row).sum(axis=1, dtype=np.int64) for row in plane]
            sums = sums + (levels[1] - levels[0]) * np.stack(both, axis=1)
        total = self.coef_.sum(axis=1, dtype=np.int64)
        return self._labels(((high - low) * sums + low * total) * self.scale_ + self.intercept_)


def _planes(codes: np.ndarray, levels: int) -> np.ndarray:
    """Return codes (R, n) as planes of bits, as `to_bits` describes them."""
    return np.concatenate([np.packbits(codes >= one, axis=1) for one in level_values(levels)[1:]], axis=1)


def classifier_header(model: Any) -> str:
    """Return the C header of a classifier."""
    levels, turned = level_values(model._levels), np.where(model.scale_ < 0, -1, 1)
    codes, scale = model.coef_ * turned[:, None], np.abs(model.scale_)  # no scale is negative in C
    n = codes.shape[1]
    steps = [Fraction(f) / Fraction(2) ** int(s) for f, s in zip(model._factor, model._shifts, strict=True)]
    centres = [Fraction(m) * Fraction(f) for m, f in zip(model._mean, model._factor, strict=True)]
    most = levels[-1] * sum(2**31 * step + abs(centre) for step, centre in zip(steps, centres, strict=True))
    unit = Fraction(2) ** math.floor(math.log2(_ROOM / most) - 1)
    largest = float(np.abs(model.intercept_).max() * unit)
    power = min(31 - math.frexp(scale.max())[1], 93 - math.frexp(largest)[1])
    weights = [round(Fraction(one) * Fraction(2) ** power) for one in scale]
    added = [round(Fraction(one) * unit * Fraction(2) ** (power - 32)) for one in model.intercept_]
    error = levels[-1] * (n * 2**BITS / unit * Fraction(scale.max()) + most / Fraction(2) ** power)
    remark = f"Rounding changes its logits by at most {float(error):.0e}, in the range of the training data."
    return c_header(
        model,
        dict(enumerate(getattr(model, "feature_names_in_", [f"feature {j}" for j in range(n)]))),
        "classifier.h",
        what="linear classifier",
        remark=remark,
        levels=levels,
        steps=[round(one * unit) for one in steps],
        centres=[round(one * unit) for one in centres],
        planes=_planes(codes, model._levels),
        weights=weights,
        offsets=[one - (weight << 29) for one, weight in zip(added, weights, strict=True)],
    )


def c_header(model: Any, names: dict[int, str], template: str, **values: Any) -> str:
    """Return a C header from a template; names are those of the inputs that it reads."""
    inputs = [(number, model._shifts[number], name) for number, name in names.items()]
    return rendered(template, inputs=inputs, labels=model.classes_.tolist(), **values)


def rendered(template: str, **values: Any) -> str:
    """Return a template of this room with values, which are escaped in HTML."""
    environment = Environment(
        loader=PackageLoader("sterling.learn"),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(braced=_braced, harmless=_harmless)
    return environment.get_template(template).render(values)


def _braced(values: Any) -> str:
    """Return numbers as the initialiser of a C array."""
    return str(np.asarray(values).tolist()).replace("[", "{").replace("]", "}")


def _harmless(text: Any) -> str:
    """Return a text that cannot end a C comment."""
    return "".join(c if c.isprintable() else "?" for c in str(text)).replace("*/", "* /").replace("/*", "/ *")
