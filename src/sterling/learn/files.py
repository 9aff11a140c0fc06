"""Saved classifiers: JSON that a person can read. All of it is checked when it is loaded."""

from __future__ import annotations

import json
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sterling.base.arrays import check_signs, real_array
from sterling.base.checks import integer, shown
from sterling.base.files import read_json, write_atomically
from sterling.errors import InputError
from sterling.model.levels import MAX_LEVELS, level_values

#: A bit is decided if it has at least this probability.
DECIDED = 0.975
#: Version of the format of model files. A file of another version is refused.
MODEL_VERSION = 2
_FORMAT = "sterling classifier"
_LARGEST_FILE = 2**27
_ARRAYS = "coef_", "scale_", "intercept_", "loss_", "_mean", "_factor", "_reach", "bit_probability_"


class Saved:
    """How `StraightThroughClassifier` is saved and loaded."""

    def to_dict(self: Any) -> dict[str, Any]:
        """Return all that prediction needs, and the settings, as values that JSON can hold.

        `from_dict` makes the same classifier again. Left out are latents, runs, training data, a dictionary
        of class weights, and a random state that is not an integer.

        Returns
        -------
        dict
            Its first two entries name the format and its version.

        Raises
        ------
        InputError
            If labels are neither texts nor numbers.
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
            "steps": self.n_iter_,
        } | {name: np.asarray(getattr(self, name)).tolist() for name in _ARRAYS if hasattr(self, name)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the classifier of a dictionary from `to_dict`.

        Parameters
        ----------
        values : dict
            The dictionary. All of it is checked.

        Returns
        -------
        StraightThroughClassifier
            A fitted classifier with the same predictions.

        Raises
        ------
        InputError, KeyError
            If an entry is wrong or missing.
        """
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise InputError("it is no saved classifier")
        if values.get("version") != MODEL_VERSION:
            text = (
                f"its format has the version {shown(values.get('version'))}, and this sterling reads version "
            )
            raise InputError(f"{text}{MODEL_VERSION}: train the model again")
        found: Any = cls(**values["settings"])
        found._check_settings()
        found.classes_, ends, names = _labels(values["classes"]), values["values"], values["features"]
        n, rows = len(values["_factor"]), 1 if len(found.classes_) == 2 else len(found.classes_)
        for name in _ARRAYS:
            shape = {"loss_": (), "scale_": (rows,), "intercept_": (rows,), "_mean": (n,), "_factor": (n,)}
            shape = (n,) if name == "_reach" else shape.get(name, (rows, n))
            if name in values or name != "bit_probability_":
                axes = ("row", "feature")[: len(shape)]
                setattr(found, name, real_array(values[name], name, axes, shape, "the other entries"))
        varies = found._factor > 0
        found._levels = integer(values["levels"], "levels", 2, MAX_LEVELS)
        for row in found.coef_[:, varies]:
            check_signs(row, len(row), "coef_", level_values(found._levels))
        if found.coef_[:, ~varies].any():
            raise InputError("its coef_ must be zero where a feature is constant")
        found.coef_ = found.coef_.astype(np.int8)
        found.loss_, found.n_iter_ = float(found.loss_), integer(values["steps"], "steps", 1)
        found.n_features_in_, found._seen, found._values = n, None, ends
        if ends is not None:
            found._values = real_array(ends, "values", ("value",), (2,), "two ends").tolist()
        if names is not None:
            if not _all(names, str) or len(names) != n or len(set(names)) != n:
                raise InputError(f"its features must be {n} different names")
            found.feature_names_in_ = np.array(names, object)
        if hasattr(found, "bit_probability_"):
            found.undecided_ = found.bit_probability_ < DECIDED
        return found

    def save(self, path) -> None:
        """Write `to_dict` as a JSON file.

        Parameters
        ----------
        path : str or path
            The file; an old one is replaced once the new one is complete.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        write(path, self.to_dict())

    @classmethod
    def load(cls, path) -> Self:
        """Return the classifier of a file from `save`. Loading runs no code from the file.

        Parameters
        ----------
        path : str or path
            The file.

        Returns
        -------
        StraightThroughClassifier
            A fitted classifier with the same predictions.

        Raises
        ------
        StoreError
            If the file cannot be read, or any part of it is not as `save` writes it.
        """
        return read(path, cls.from_dict)


def write(path: Any, values: dict[str, Any]) -> None:
    """Write a dictionary as JSON, one entry a line."""
    lines = ",\n".join(f'"{name}": {json.dumps(value, allow_nan=False)}' for name, value in values.items())
    write_atomically(path, f"{{\n{lines}\n}}\n".encode())


def read(path: Any, make: Any) -> Any:
    """Return what ``make`` makes of a JSON file; StoreError says what is wrong with the file."""
    return read_json(path, make, "cannot be loaded", _LARGEST_FILE)


def _labels(classes: Any) -> np.ndarray:
    """Return labels of one type that JSON has as an array."""
    if not any(_all(classes, kind) for kind in (str, bool, int, float)):
        raise InputError("labels must be all texts or all numbers: no others can be saved")
    if len(set(classes)) < max(2, len(classes)):
        raise InputError("its classes must be two or more different labels")
    return np.array(classes)


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(one) is kind for one in values)
