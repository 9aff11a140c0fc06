"""Models to carry away: packed codes, C headers of integers only, prediction by population counts."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from sterling.base.files import write_atomically
from sterling.errors import InputError
from sterling.model.levels import level_values
from sterling.model.normalise import Standardize

_BITS = 27  # of the largest training inputs of the C function; int32 has room for 8 times as much
_INT64 = 2**63 - 1
_ROOM = 2**61  # sums in C stay below it for all int32 inputs


class Exported:
    """What `StraightThroughClassifier` can hand to other programs."""

    _varies: np.ndarray
    _levels: int
    _normalizer: Any
    _values: list[float] | None
    _reach: np.ndarray
    n_features_in_: int
    classes_: np.ndarray
    coef_: np.ndarray
    scale_: np.ndarray
    intercept_: np.ndarray

    def to_bits(self) -> np.ndarray:
        """Return the codes as bits. Prediction also needs the normalisation, the scales and the intercepts.

        Returns
        -------
        uint8 array (rows, bytes)
            A row for each row of ``coef_``: one plane of bits for each level but the lowest, that says where
            the code is at that level or above it. A plane has ⌈n/8⌉ bytes, the first code in the highest bit
            of the first. With two levels a constant feature, whose code is zero, has the bit 0.
        """
        check_is_fitted(self)
        planes = [np.packbits(self.coef_ >= value, axis=1) for value in level_values(self._levels)[1:]]
        return np.concatenate(planes, axis=1)

    @property
    def nbytes(self) -> int:
        """Bytes of all numbers that prediction needs.

        They are the packed codes, and as float64 the scales, the intercepts and the arrays of the normaliser;
        also one bit a feature, if some are constant.
        """
        check_is_fitted(self)
        given = {} if self._normalizer is None else self._normalizer.to_dict()
        arrays = [np.asarray(one) for name, one in given.items() if name != "name"]
        mask = 0 if self._varies.all() else -(-len(self._varies) // 8)
        kept = [self.to_bits(), self.scale_, self.intercept_, *arrays]
        return mask + sum(one.nbytes for one in kept)

    def predict_packed(self, packed) -> np.ndarray:
        """Return the most probable classes of inputs of one bit each, by population counts.

        The labels equal those of `predict`. The training inputs must have had two values in all, such as −1
        and +1, or 0 and 1 for binned features, and ``normalize=None``.

        Parameters
        ----------
        packed : uint8 array (N, ⌈n/8⌉)
            ``np.packbits(X == high, axis=1)``, where ``high`` is the larger of the two values.

        Returns
        -------
        array (N,)
            Labels from ``classes_``.

        Raises
        ------
        InputError
            If the inputs had other values or are normalised, or if the packed array has another shape.
        """
        check_is_fitted(self)
        if self._values is None or self._normalizer is not None:
            raise InputError(
                "predict_packed needs training inputs of two values and normalize=None: use predict"
            )
        n = len(self._varies)
        packed = np.asarray(packed)
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != -(-n // 8):
            raise InputError(f"packed must be a uint8 array (N, {-(-n // 8)}), as np.packbits makes it")
        low, high = self._values
        levels, kept = level_values(self._levels), np.packbits(self._varies)
        count = np.bitwise_count(packed & kept).sum(axis=1, dtype=np.int64)[:, None]
        sums, ones = count * levels[0], np.full(len(self.coef_), levels[0] * int(self._varies.sum()))
        for planes in self.to_bits().reshape(len(self.coef_), len(levels) - 1, -1).swapaxes(0, 1):
            own = planes & kept
            both = [np.bitwise_count(packed & plane).sum(axis=1, dtype=np.int64) for plane in own]
            sums = sums + (levels[1] - levels[0]) * np.stack(both, axis=1)
            ones = ones + (levels[1] - levels[0]) * np.bitwise_count(own).sum(axis=1, dtype=np.int64)
        return self._labels(((high - low) * sums + low * ones) * self.scale_ + self.intercept_)

    def to_c(self, path=None) -> str:
        """Return a C header that predicts with integers only, and write it to a path if one is given.

        Its function takes the row of `to_fixed` of a sample and returns the number of its label in
        ``classes_``. It agrees with `predict`, except where logits are so close that a tiny difference of
        the scores decides; the header states that difference. No sum overflows, for any int32 inputs.

        Parameters
        ----------
        path : str or path, optional
            The file.

        Returns
        -------
        str
            The header, C99.

        Raises
        ------
        InputError
            If the normaliser is neither "standard" nor None.
        StoreError
            If the file cannot be written.
        """
        check_is_fitted(self)
        return _classifier_header(self, path)

    def to_fixed(self, X) -> np.ndarray:
        """Return inputs as the C function takes them: x·2^shift rounded down, within int32.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.

        Returns
        -------
        int32 array (N, n)
            The numbers. The header states the shift of each feature.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)  # pyright: ignore[reportArgumentType]
        return fixed_point(np.asarray(X), _moments(self)[2])

    def _labels(self, logits: np.ndarray) -> np.ndarray:
        return self.classes_[
            (logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else logits.argmax(axis=1)
        ]


def fixed_point(inputs: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return inputs·2^shift rounded down, int32, at most the largest and at least the smallest int32."""
    limits = np.iinfo(np.int32)
    return np.clip(np.floor(np.ldexp(inputs, shifts)), limits.min, limits.max).astype(np.int32)


def card_header(card: Any, path: Any) -> str:
    """Return the C header of a scoring card, and write it if there is a path."""
    shifts, rows = card.shifts, len(card.start)
    lines = [f"    int32_t total[{rows}] = {_braced(card.start)};"]
    for k, item in enumerate(card.items):
        cuts = np.ceil(np.ldexp(item.edges, shifts[item.feature])).astype(np.int64)
        group = " + ".join(f"(x[{item.feature}] >= {cut})" for cut in cuts)
        lines += [
            f"    static const int32_t points{k}[][{rows}] = {_braced(item.points)};",
            f"    for (int r = 0; r < {rows}; r++)",
            f"        total[r] += points{k}[{group}][r];",
        ]
    best = [
        "    int best = 0;",
        f"    for (int r = 1; r < {rows}; r++)",
        "        if (total[r] > total[best])",
    ]
    lines += (
        ["    return total[0] >= 0;"] if rows == 1 else [*best, "            best = r;", "    return best;"]
    )
    names = {item.feature: item.name for item in card.items}
    return _header(card, "scoring card", "Its totals are exact.", names, shifts, [], lines, path)


def _classifier_header(model: Any, path: Any) -> str:
    mean, factor, shifts = _moments(model)
    levels, turned = (
        level_values(model._levels),
        np.where(model.scale_ < 0, -1, 1),
    )  # no scale is negative in C
    codes, scale = model.coef_.astype(np.int64) * turned[:, None], np.abs(model.scale_)
    rows, n = codes.shape
    exact = [
        (Fraction(f) / Fraction(2) ** int(s), Fraction(m) * Fraction(f))
        for m, f, s in zip(mean, factor, shifts, strict=True)
    ]
    most = levels[-1] * sum(2**31 * abs(step) + abs(centre) for step, centre in exact)
    unit = Fraction(2) ** math.floor(math.log2(_ROOM / most) - 1)
    steps = [round(step * unit) for step, _ in exact]
    centres = [round(centre * unit) for _, centre in exact]
    planes = np.concatenate([np.packbits(codes >= value, axis=1) for value in levels[1:]], axis=1)
    tables = [
        f"static const int64_t sterling_step[{n}] = {_braced(steps)};",
        f"static const int64_t sterling_centre[{n}] = {_braced(centres)};",
        f"static const uint8_t sterling_bits[{rows}][{planes.shape[1]}] = {_braced(planes)};",
    ]
    lines = [
        f"    int64_t sums[{rows}] = {{0}};",
        f"    for (int j = 0; j < {n}; j++) {{",
        "        int64_t z = x[j] * sterling_step[j] - sterling_centre[j];",
        f"        for (int r = 0; r < {rows}; r++) {{",
        f"            int code = {levels[0]};",
        f"            for (int p = 0; p < {len(levels) - 1}; p++)",
        f"                code += {levels[1] - levels[0]} * "
        f"(sterling_bits[r][p * {-(-n // 8)} + j / 8] >> (7 - j % 8) & 1);",
        "            sums[r] += code * z;",
        "        }",
        "    }",
    ]
    if rows == 1:
        intercept = Fraction(model.intercept_[0])
        least = -intercept / Fraction(scale[0]) * unit if scale[0] else -intercept * _INT64**2
        lines.append(f"    return sums[0] > INT64_C({min(max(math.floor(least), -_INT64), _INT64)});")
    else:
        power = 31 - math.frexp(scale.max())[1]
        weights = [round(Fraction(one) * Fraction(2) ** power) for one in scale]
        logit = unit * Fraction(2) ** (power - 32)
        added = [round(Fraction(one) * logit) for one in model.intercept_]
        if max(map(abs, added)) > _ROOM:
            raise InputError("an intercept is too large for integers of 64 bits: normalise the inputs")
        offsets = [one - (weight << 29) for one, weight in zip(added, weights, strict=True)]
        tables += [
            f"static const uint32_t sterling_weight[{rows}] = {_braced(weights)};",
            f"static const int64_t sterling_offset[{rows}] = {_braced(offsets)};",
        ]
        lines += [
            "    int best = 0;",
            "    int64_t highest = INT64_MIN;",
            f"    for (int r = 0; r < {rows}; r++) {{",
            "        uint64_t sum = (uint64_t)(sums[r] + (INT64_C(1) << 61)), weight = sterling_weight[r];",
            "        int64_t logit = (int64_t)(weight * (sum >> 32) + (weight * (sum & 0xffffffff) >> 32));",
            "        if (logit + sterling_offset[r] > highest) {",
            "            highest = logit + sterling_offset[r];",
            "            best = r;",
            "        }",
            "    }",
            "    return best;",
        ]
    error = float(n * levels[-1] * (2**_BITS + 1) / unit)
    remark = f"Scores differ by at most {error:.0e} from exact ones, within the range of the training data."
    names = getattr(model, "feature_names_in_", [f"feature {j}" for j in range(n)])
    return _header(
        model, "linear classifier", remark, dict(enumerate(names)), shifts, [*tables, ""], lines, path
    )


def _moments(model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and factor of each feature, zero where it is constant, and the shift of the C function."""
    kept, mean, factor = model._varies, np.zeros(len(model._varies)), np.zeros(len(model._varies))
    if not isinstance(model._normalizer, Standardize | None):
        raise InputError('to_c needs normalize="standard" or None: a C header has no other normaliser')
    mean[kept] = 0.0 if model._normalizer is None else model._normalizer.mean
    factor[kept] = 1.0 if model._normalizer is None else model._normalizer.factor
    return mean, factor, _BITS - np.frexp(model._reach)[1]


def _header(
    model: Any,
    what: str,
    remark: str,
    names: dict[int, Any],
    shifts: np.ndarray,
    tables: list[str],
    lines: list[str],
    path: Any,
) -> str:
    inputs = [f"     x[{j}]: shift {shifts[j]}, {_remark(name)}" for j, name in names.items()]
    labels = [f"     {k}: {_remark(label)}" for k, label in enumerate(model.classes_)]
    head = [
        f"/* A {what}, written by sterling. C99, integers only. {remark}",
        "   Each input is its value times 2 to the power of its shift, rounded down, within int32:",
        *inputs,
        "   The result is the number of a label:",
        *labels,
        "*/",
        "#include <stdint.h>",
        "",
    ]
    body = ["static inline int sterling_predict(const int32_t *x)", "{", *lines, "}", ""]
    text = "\n".join([*head, *tables, *body])
    if path is not None:
        write_atomically(path, text.encode())
    return text


def _braced(values: Any) -> str:
    """Return numbers as the initialiser of a C array."""
    if np.ndim(values) > 1:
        return "{" + ", ".join(_braced(row) for row in values) + "}"
    return "{" + ", ".join(str(int(value)) for value in values) + "}"


def _remark(text: Any) -> str:
    """Return a text that cannot end a C comment."""
    return "".join(c if c.isprintable() else "?" for c in str(text)).replace("*/", "* /").replace("/*", "/ *")
