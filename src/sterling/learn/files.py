"""Saved classifiers: JSON that a person can read. All of it is checked when it is loaded."""

from __future__ import annotations

import json
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sterling.base.arrays import check_signs, real_array
from sterling.base.checks import integer, shown
from sterling.base.files import as_path, printable, unreadable, write_atomically
from sterling.errors import InputError, StoreError
from sterling.model.levels import MAX_LEVELS, level_values
from sterling.model.normalise import Normalizer, check_normalize

#: A bit is decided if it has at least this probability.
DECIDED = 0.975
#: Version of the format of model files. A file of another version is refused.
MODEL_VERSION = 1
_FORMAT = "sterling classifier"
_LARGEST_FILE = 2**27
_LABELS = {"text": str, "object": object, "int": np.int64, "float": np.float64, "bool": np.bool_}
_ARRAYS = "coef_", "scale_", "intercept_", "loss_", "_reach", "bit_probability_"
_KINDS = {"U": "text", "O": "object", "i": "int", "u": "int", "f": "float", "b": "bool"}


class Saved:
    """How `StraightThroughClassifier` is saved and loaded."""

    _varies: np.ndarray
    _levels: int
    _normalizer: Any
    _values: list[float] | None
    classes_: np.ndarray
    n_iter_: int

    def to_dict(self) -> dict[str, Any]:
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
            If labels are neither texts nor numbers, or the normaliser is none of sterling's.
        """
        check_is_fitted(self)
        given = self.get_params().items()  # pyright: ignore[reportAttributeAccessIssue]
        settings = {name: value.item() if isinstance(value, np.generic) else value for name, value in given}
        for name in ("random_state", "class_weight"):  # `fit` alone needs them, and JSON cannot hold them all
            if not isinstance(settings[name], int | str | None):
                del settings[name]
        settings["normalize"] = _plain(settings["normalize"])
        labels, names = self.classes_, getattr(self, "feature_names_in_", None)
        if labels.dtype.kind not in _KINDS or (labels.dtype.kind == "O" and not _texts(labels.tolist())):
            raise InputError(f"labels like {shown(labels[0])} cannot be saved: use texts or numbers")
        return {
            "format": _FORMAT,
            "version": MODEL_VERSION,
            "settings": settings,
            "label_type": _KINDS[labels.dtype.kind],
            "classes": labels.tolist(),
            "features": None if names is None else list(names),
            "levels": self._levels,
            "values": self._values,
            "varies": self._varies.astype(int).tolist(),
            "normalizer": _plain(self._normalizer),
            "steps": self.n_iter_,
        } | {
            name: np.asarray(value).tolist()
            for name in _ARRAYS
            if (value := getattr(self, name, None)) is not None
        }

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
        given = values
        if not isinstance(given, dict) or given.get("format") != _FORMAT:
            raise InputError("it is no saved classifier")
        if given.get("version") != MODEL_VERSION:
            text = (
                f"its format has the version {shown(given.get('version'))}, and this sterling reads version "
            )
            raise InputError(f"{text}{MODEL_VERSION}: train the model again")
        found: Any = cls(
            **{**given["settings"], "normalize": _normalizer(given["settings"].get("normalize"))}
        )
        found._check_settings()
        kind, classes, names = given["label_type"], given["classes"], given["features"]
        if kind not in _LABELS or (kind in ("text", "object") and not _texts(classes)):
            raise InputError(f"its labels are not of the type {shown(kind)}")
        found.classes_ = labels = np.array(classes, _LABELS[kind])
        if labels.ndim != 1 or len(labels) < 2 or len(np.unique(labels)) < len(labels):
            raise InputError("its classes must be two or more different labels")
        n, rows = len(given["varies"]), 1 if len(labels) == 2 else len(labels)
        found._varies = kept = check_signs(given["varies"], n, "varies", (0, 1)) == 1
        for name in _ARRAYS:
            shape = {"coef_": (rows, n), "bit_probability_": (rows, n), "_reach": (n,), "loss_": ()}
            axes = ("row", "feature")[: len(shape.get(name, (rows,)))]
            if name in given or name != "bit_probability_":
                array = real_array(given[name], name, axes, shape.get(name, (rows,)), "the other entries")
                setattr(found, name, array)
        count = found._levels = integer(given["levels"], "levels", 2, MAX_LEVELS)
        check_signs(found.coef_[:, kept].ravel(), rows * int(kept.sum()), "coef_", level_values(count))
        found.coef_ = np.where(kept, found.coef_, 0).astype(np.int8)
        found.loss_, found.n_iter_ = float(found.loss_), integer(given["steps"], "steps", 1)
        found.n_features_in_, found._seen, ends = n, None, given["values"]
        found._values = (
            None if ends is None else real_array(ends, "values", ("value",), (2,), "two ends").tolist()
        )
        if names is not None:
            if not _texts(names) or len(names) != n or len(set(names)) != n:
                raise InputError(f"its features must be {n} different names")
            found.feature_names_in_ = np.array(names, object)
        found._normalizer = _normalizer(given["normalizer"])
        if found._normalizer is not None:
            if not isinstance(found._normalizer, Normalizer) or not found._normalizer.fitted:
                raise InputError("its normalizer is not fitted")
            found._normalizer.apply(np.zeros((1, int(kept.sum()))))
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
    file = as_path(path)
    reason = unreadable(file)
    if reason is not None:
        raise StoreError(reason)
    with open(file, "rb") as stream:
        data = stream.read(_LARGEST_FILE + 1)
    try:
        if len(data) > _LARGEST_FILE:
            raise ValueError(f"it has more than {_LARGEST_FILE:,} bytes")
        return make(json.loads(data))
    except KeyError as problem:
        raise StoreError(f"{printable(file)} cannot be loaded: it has no entry {problem}") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as problem:
        raise StoreError(f"{printable(file)} cannot be loaded: {problem}") from None


def _plain(normalizer: Any) -> Any:
    if not isinstance(normalizer, Normalizer):
        return normalizer
    values = normalizer.to_dict()
    check_normalize(values)
    return values


def _normalizer(given: Any) -> Any:
    return check_normalize(given) if isinstance(given, dict) else given


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(one, str) for one in values)
