"""Saved classifiers: JSON that a person can read. All of it is checked when it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sterling.base.arrays import real_array
from sterling.base.checks import integer, shown
from sterling.base.files import read_json, write_atomically
from sterling.errors import InputError
from sterling.model.levels import MAX_LEVELS, level_values

#: A bit is decided if it has at least this probability.
DECIDED = 0.975
#: Version of the format of model files. A file of another version is refused.
MODEL_VERSION = 3
_FORMAT = "sterling classifier"
_LARGEST_FILE = 2**27


class Saved:
    """How `StraightThroughClassifier` is saved and loaded."""

    def to_dict(self: Any) -> dict[str, Any]:
        """Return all that prediction needs, and the settings, as values that JSON can hold.

        `from_dict` makes the same classifier again. Left out are latents, runs, training data, a dictionary
        of class weights, and a random state that is not an integer.
        """
        check_is_fitted(self)
        given = self.get_params().items()
        settings = {name: value.item() if isinstance(value, np.generic) else value for name, value in given}
        for name in ("random_state", "class_weight"):  # `fit` alone needs them, and JSON cannot hold them all
            if not isinstance(settings[name], int | str | None):
                del settings[name]
        return {
            "format": _FORMAT,
            "version": MODEL_VERSION,
            "settings": settings,
            "classes": _labels(self.classes_.tolist()).tolist(),
            "features": list(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None,
            "levels": self._levels,
            "values": self._values,
        } | {name: getattr(self, name).tolist() for name in _shapes(vars(self), self.classes_, 0)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the classifier of a dictionary from `to_dict`, all of which is checked."""
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise InputError("it is no saved classifier")
        if values.get("version") != MODEL_VERSION:
            version = f"it has version {shown(values.get('version'))} of the format, and this sterling reads"
            raise InputError(f"{version} {MODEL_VERSION}: train the model again")
        found: Any = cls(**values["settings"])
        found._check_settings()
        found.classes_, names = _labels(values["classes"]), values["features"]
        found.n_features_in_ = n = len(values["_factor"])
        for name, shape in _shapes(values, found.classes_, n).items():
            axes = ("row", "feature")[: len(shape)]
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
        """Return the classifier of a file from `save`: StoreError if any part is not as `save` writes it.

        Loading runs no code from the file.
        """
        return read(path, cls.from_dict)


def _shapes(given: Mapping[str, Any], classes: np.ndarray, n: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays that a file holds; one of them is there only if it is given."""
    rows = 1 if len(classes) == 2 else len(classes)
    shapes = {"coef_": (rows, n), "scale_": (rows,), "intercept_": (rows,)}
    shapes |= dict.fromkeys(("_mean", "_factor", "_reach"), (n,))
    return shapes | ({"bit_probability_": (rows, n)} if "bit_probability_" in given else {})


def write(path: Any, values: dict[str, Any]) -> None:
    """Write a dictionary as JSON, one entry a line."""
    lines = ",\n".join(f'"{name}": {json.dumps(value, allow_nan=False)}' for name, value in values.items())
    write_atomically(path, f"{{\n{lines}\n}}\n".encode())


def read(path: Any, make: Any, fault: str = "cannot be loaded") -> Any:
    """Return what ``make`` makes of a JSON file; StoreError says the fault of the file and its reason."""
    return read_json(path, make, fault, _LARGEST_FILE)


def _labels(classes: list[Any]) -> np.ndarray:
    """Return labels of one type that JSON has as an array."""
    kinds = {type(one) for one in classes}
    if len(kinds) != 1 or not kinds <= {str, bool, int, float}:
        raise InputError("labels must be all texts or all numbers: no others can be saved")
    if len(set(classes)) < max(2, len(classes)):
        raise InputError("its classes must be two or more different labels")
    return np.array(list(classes))
