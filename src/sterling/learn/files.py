"""Saved classifiers: JSON that a person can read. All of it is checked when it is loaded."""

from __future__ import annotations

import json
from typing import Any, Self, TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sterling.base.arrays import check_signs, real_array
from sterling.base.checks import integer, shown
from sterling.base.files import as_path, printable, unreadable, write_atomically
from sterling.errors import InputError, StoreError
from sterling.model.levels import MAX_LEVELS, level_values
from sterling.model.normalise import Normalizer, check_normalize

T = TypeVar("T")

#: A bit is decided if it has at least this probability.
DECIDED = 0.975
_FORMAT, _VERSION = "sterling classifier", 1
_LARGEST_FILE = 2**27
_LABELS = {"text": str, "object": object, "int": np.int64, "float": np.float64, "bool": np.bool_}
_KINDS = {"U": "text", "O": "object", "i": "int", "u": "int", "f": "float", "b": "bool"}


class Saved:
    """How `StraightThroughClassifier` is saved and loaded."""

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
        return _to_dict(self)

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
        return _from_dict(cls, values)

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


def _to_dict(classifier: Any) -> dict[str, Any]:
    """Return a fitted classifier as values that JSON can hold."""
    given = classifier.get_params().items()
    settings = {name: value.item() if isinstance(value, np.generic) else value for name, value in given}
    for name in ("random_state", "class_weight"):  # they matter to `fit` alone, and JSON cannot hold them all
        if not isinstance(settings[name], int | str | None):
            del settings[name]
    settings["normalize"] = _plain(settings["normalize"])
    labels = classifier.classes_
    if labels.dtype.kind not in _KINDS or (labels.dtype.kind == "O" and not _texts(labels.tolist())):
        raise InputError(f"labels like {shown(labels[0])} cannot be saved: use texts or numbers")
    names = getattr(classifier, "feature_names_in_", None)
    sure = getattr(classifier, "bit_probability_", None)
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "settings": settings,
        "label_type": _KINDS[labels.dtype.kind],
        "classes": labels.tolist(),
        "features": None if names is None else list(names),
        "levels": classifier._levels,
        "values": classifier._values,
        "reach": classifier._reach.tolist(),
        "varies": classifier._varies.astype(int).tolist(),
        "codes": classifier.coef_.tolist(),
        "scale": classifier.scale_.tolist(),
        "intercept": classifier.intercept_.tolist(),
        "normalizer": _plain(classifier._normalizer),
        "bit_probability": None if sure is None else sure.tolist(),
        "loss": classifier.loss_,
        "steps": classifier.n_iter_,
    }


def _from_dict(kind: type[T], given: dict[str, Any]) -> T:
    """Return the classifier of a dictionary, or raise an error that says what is wrong with it."""
    if not isinstance(given, dict) or given.get("format") != _FORMAT:
        raise InputError("it is no saved classifier")
    if given.get("version") != _VERSION:
        raise InputError(f"its version is {shown(given.get('version'))}; this sterling reads {_VERSION}")
    found: Any = kind(**given["settings"])
    found._check_settings()
    label_type, classes = given["label_type"], given["classes"]
    if label_type not in _LABELS or (label_type in ("text", "object") and not _texts(classes)):
        raise InputError(f"its labels are not of the type {shown(label_type)}")
    labels = np.array(classes, _LABELS[label_type])
    if labels.ndim != 1 or len(labels) < 2 or len(np.unique(labels)) < len(labels):
        raise InputError("its classes must be two or more different labels")
    count, varies = integer(given["levels"], "levels", 2, MAX_LEVELS), real_array(given["varies"], "varies")
    n, rows = varies.size, 1 if len(labels) == 2 else len(labels)
    found._varies = check_signs(given["varies"], n, "varies", (0, 1)) == 1
    kept, codes = found._varies, np.zeros((rows, n), np.int8)
    given_codes = real_array(
        given["codes"], "codes", ("row", "feature"), (rows, n), "these classes and features"
    )
    for row, own in zip(codes, given_codes, strict=True):
        row[kept] = check_signs(own[kept], int(kept.sum()), "codes", level_values(count))
    found._levels, found.classes_, found.coef_, found.n_features_in_ = count, labels, codes, n
    found._reach, found._seen = real_array(given["reach"], "reach", ("feature",), (n,), "these codes"), None
    if given["values"] is not None:
        given["values"] = real_array(given["values"], "values", ("value",), (2,), "two values").tolist()
    found._values = given["values"]
    names = given["features"]
    if names is not None:
        if not _texts(names) or len(set(names)) != n:
            raise InputError(f"its features must be {n} different names")
        found.feature_names_in_ = np.array(names, object)
    found.scale_ = real_array(given["scale"], "scale", ("row",), (rows,), "these classes")
    found.intercept_ = real_array(given["intercept"], "intercept", ("row",), (rows,), "these classes")
    normalizer = check_normalize(given["normalizer"])
    if normalizer is not None:
        if not isinstance(normalizer, Normalizer) or not normalizer.fitted:
            raise InputError("its normalizer is not fitted")
        normalizer.apply(np.zeros((1, int(kept.sum()))))
    found._normalizer = normalizer
    if given["bit_probability"] is not None:
        shape = ("row", "feature"), (rows, n), "these codes"
        found.bit_probability_ = real_array(given["bit_probability"], "bit_probability", *shape)
        found.undecided_ = found.bit_probability_ < DECIDED
    found.loss_ = float(real_array(given["loss"], "loss", (), (), "one number"))
    found.n_iter_ = integer(given["steps"], "steps", 1)
    return found


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


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(one, str) for one in values)
