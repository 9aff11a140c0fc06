"""CSV files of samples: which columns become inputs of a classifier, and what to warn about."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sterling.base.files import printable, unreadable
from sterling.base.text import percent
from sterling.errors import InputError
from sterling.model.columns import label_column, refuse_twins
from sterling.model.data import csv_frame

if TYPE_CHECKING:
    import polars as pl

MOST_TEXTS, MOST_CLASSES = 32, 100
_MISSING = ("", "NA", "N/A", "na", "n/a", "NaN", "nan", "null", "NULL", "?")
_LARGEST = 1e100  # squares of larger numbers would overflow
_LEAST_ROWS = 20  # in which consecutive numbers count as an identifier
_RARE = 0.1  # share of the samples below which a class is rare
_SHOWN = 5  # columns that a warning names
_IDENTIFIER = re.compile(r"(?:^|[\W_])(?i:id|uuid|guid|index|key)$|[a-z]I[dD]$")


class Column(NamedTuple):
    """A column that a model takes: numbers are one input, each of the texts is an input 0 or 1."""

    name: str
    texts: tuple[str, ...] | None = None

    @property
    def shown(self) -> tuple[str, ...]:
        """The texts that have an input: of two the second, else all."""
        texts = self.texts or ()
        return texts[1:] if len(texts) == 2 else texts

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [self.name] if self.texts is None else [f"{self.name}={text}" for text in self.shown]


def read(path: Path) -> pl.DataFrame:
    """Return the columns of a CSV file as texts, null where a value is missing."""
    reason = unreadable(path)
    if reason is None and path.suffix.lower() != ".csv":
        reason = f"{printable(path)} is no .csv file: save the table as one"
    if reason is not None:
        raise InputError(reason)
    frame = csv_frame(path, texts=True)
    if not frame.height:
        raise InputError("it has column names but no rows")
    refuse_twins([name.strip() for name in frame.columns])
    frame = frame.rename({name: name.strip() for name in frame.columns})
    return frame.with_columns(one.str.strip_chars().replace(dict.fromkeys(_MISSING)) for one in frame)


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Put the name of a file in front of what is wrong with it."""
    try:
        yield
    except InputError as problem:
        shown = printable(path)
        raise InputError(f"{'' if shown in str(problem) else f'{shown}: '}{problem}") from None


def numbers(values: pl.Series) -> tuple[pl.Series, int | None]:
    """Return texts as Float64, and the first row that holds no number below 1e100 in size, or None."""
    import polars as pl

    found = values.cast(pl.Float64, strict=False)
    found = found.set(~(found.abs() < _LARGEST), None)
    odd = found.is_null() & values.is_not_null()
    return found, odd.arg_max() if odd.any() else None


def labels_of(frame: pl.DataFrame, target: str | None) -> tuple[str, pl.Series]:
    """Return the name of the label column and its labels: whole numbers or texts, null where missing."""
    import polars as pl

    name = frame.columns[label_column(frame.columns, target, "--target")]
    labels, advice = frame[name], "name a column of classes with --target"
    values, odd = numbers(labels)
    if odd is None:
        if (values != values.round()).any():
            raise InputError(f"the label column {name!r} holds fractions, not classes: {advice}")
        labels = values.cast(pl.Int64)
    count = labels.drop_nulls().n_unique()
    if not 2 <= count <= MOST_CLASSES:
        raise InputError(f"the label column {name!r} has {count} different values: {advice}")
    return name, labels


def columns_of(frame: pl.DataFrame, target: str) -> tuple[list[Column], list[str]]:
    """Return the columns that a model takes beside the labels, and sentences on the others."""
    columns, taken, found = [], {}, defaultdict(list)
    classes = frame[target].n_unique()
    for name in frame.columns:
        if name == target:
            continue
        texts = frame[name]
        values, odd = numbers(texts)
        values = values if odd is None else texts
        distinct = values.drop_nulls().n_unique()
        digest = hashlib.sha256(values.hash().to_numpy().tobytes()).digest()
        if distinct < 2:
            found["sterling leaves out columns with a single value"].append(repr(name))
        elif distinct == len(values) and _identifies(name, values):
            found["sterling leaves out columns that look like identifiers"].append(repr(name))
        elif digest in taken:
            found["sterling leaves out copies of columns"].append(f"{name!r} (of {taken[digest]!r})")
        elif odd is not None and distinct > MOST_TEXTS:
            what = f"sterling leaves out columns with more than {MOST_TEXTS} texts"
            found[what].append(f"{name!r} ({distinct}, with {texts[odd][:20]!r} in row {odd + 1})")
        else:
            taken[digest] = name
            columns.append(Column(name, None if odd is None else tuple(values.drop_nulls().unique().sort())))
            if distinct == classes == frame.select(target, name).unique().height:
                found[
                    "each class has another value in one column; drop it unless you know it beforehand"
                ].append(repr(name))
    if not columns:
        raise InputError("; ".join(["no column is left that could be an input", *_sentences(found)]))
    return columns, _sentences(found)


def _sentences(found: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence for each thing that was found in some columns."""
    shown = {what: ", ".join(names[:_SHOWN]) for what, names in found.items()}
    more = {what: len(names) - _SHOWN for what, names in found.items()}
    return [f"{what}: {shown[what]}" + (f" and {n} more" if n > 0 else "") for what, n in more.items()]


def _identifies(name: str, values: pl.Series) -> bool:
    """Whether values that all differ look like names of the rows."""
    import polars as pl

    if values.dtype == pl.String:
        return len(values) > MOST_TEXTS
    whole = bool((values == values.round()).all())
    consecutive = values.max() - values.min() == len(values) - 1  # type: ignore[operator]
    named = not name or _IDENTIFIER.search(name) is not None
    return whole and (named or (consecutive and len(values) >= _LEAST_ROWS))


def about_sizes(labels: pl.Series, inputs: int, training: int) -> list[str]:
    """Return sentences on more inputs than samples, rare classes and several classes."""
    counts = labels.value_counts(sort=True).rows()
    (_, most), (rarest, fewest), notes = counts[0], counts[-1], []
    if inputs > training:
        notes.append(
            f"{inputs} inputs are more than the {training} training samples, so chance sets many weights"
        )
    if fewest < _RARE * len(labels) and 3 * fewest < most:
        notes.append(
            f"only {percent(fewest / len(labels), 1)} of the samples have the class {rarest!r}, so look at "
            "the AUC beside the accuracy"
        )
    if len(counts) > 2:
        notes.append(f"there are {len(counts)} classes; the AUC is the mean of each class against the rest")
    return notes


def encode(frame: pl.DataFrame, columns: Sequence[Column]) -> tuple[np.ndarray, list[str]]:
    """Return the inputs (N, n), NaN where a value is missing or a text is new, and sentences on these."""
    inputs, found = [], defaultdict(list)
    for one in columns:
        if one.name not in frame.columns:
            near = difflib.get_close_matches(one.name, frame.columns, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "add it"
            raise InputError(f"it has no column {one.name!r}, which the model needs: {hint}")
        texts = frame[one.name]
        if texts.null_count():
            found["values are missing, and count as the training mean"].append(repr(one.name))
        if one.texts is None:
            values, odd = numbers(texts)
            if odd is not None:
                raise InputError(
                    f"it has {texts[odd][:20]!r} in column {one.name!r}, row {odd + 1}, but the model takes "
                    "numbers there: correct the value, or leave it empty"
                )
            inputs.append(values.to_numpy())
            continue
        unknown = ~texts.is_in(one.texts)
        if unknown.any():
            text = texts.filter(unknown)[0]
            found["texts are new, and count as the training mean"].append(f"{text[:20]!r} in {one.name!r}")
        gone = unknown.fill_null(True).to_numpy()
        inputs += [np.where(gone, np.nan, (texts == text).fill_null(False).to_numpy()) for text in one.shown]
    return np.stack(inputs, axis=1), _sentences(found)
