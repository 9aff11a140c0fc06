"""Samples in a CSV file: which columns become inputs of a classifier, what a warning says of the others."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sterling.base.files import printable, unreadable
from sterling.base.text import counted, percent, shortened
from sterling.errors import InputError
from sterling.model.columns import label_column, refuse_twins
from sterling.model.data import csv_frame

if TYPE_CHECKING:
    import polars as pl

_MOST_TEXTS, _MOST_CLASSES = 32, 100
_MISSING = ("", "NA", "N/A", "na", "n/a", "NaN", "nan", "null", "NULL", "?")
_LARGEST = 1e100  # squares of larger numbers would overflow
_LEAST_ROWS = 20  # in which consecutive numbers count as an identifier
_RARE = 0.1  # share of the samples below which a class is rare
_SHOWN = 5  # columns that a message names
_LETTERS = 20  # of a text that a message repeats
_IDENTIFIER = re.compile(r"(?:^|[\W_])(?i:id|uuid|guid|index|key)$|[a-z]I[dD]$")


class Column(NamedTuple):
    """A column that a model takes. Numbers are one input; of texts, each gives an input of 0 or 1."""

    name: str
    texts: tuple[str, ...] | None = None  # None for numbers

    @property
    def coded(self) -> tuple[str, ...]:
        """The texts that have an input: of two the second, of more all."""
        texts = self.texts or ()
        return texts[1:] if len(texts) == 2 else texts

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [self.name] if self.texts is None else [f"{self.name}={text}" for text in self.coded]


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Put the name of the file in front of an error about what it holds."""
    try:
        yield
    except InputError as problem:
        name = printable(path)
        raise InputError(str(problem) if name in str(problem) else f"{name}: {problem}") from None


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
    names = [name.strip() for name in frame.columns]
    refuse_twins(names)
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    return frame.with_columns(one.str.strip_chars().replace(dict.fromkeys(_MISSING)) for one in frame)


def as_numbers(texts: pl.Series) -> tuple[pl.Series, int | None]:
    """Return texts as Float64, and the first row that holds something else than a number below 1e100."""
    import polars as pl

    values = texts.cast(pl.Float64, strict=False)
    values = values.set(~(values.abs() < _LARGEST), None)
    odd = values.is_null() & texts.is_not_null()
    return values, odd.arg_max() if odd.any() else None


def labels_of(frame: pl.DataFrame, target: str | None) -> tuple[str, pl.Series]:
    """Return the name of the label column and its labels: whole numbers or texts, null where missing."""
    import polars as pl

    name = frame.columns[label_column(frame.columns, target, "--target")]
    labels, advice = frame[name], "name a column of classes with --target"
    values, odd = as_numbers(labels)
    if odd is None:
        if (values != values.round()).any():
            raise InputError(f"the label column {name!r} holds fractions, not classes: {advice}")
        labels = values.cast(pl.Int64)
    count = labels.drop_nulls().n_unique()
    if not 2 <= count <= _MOST_CLASSES:
        raise InputError(f"the label column {name!r} has {counted(count, 'different value')}: {advice}")
    return name, labels


def columns_of(frame: pl.DataFrame, target: str) -> tuple[list[Column], list[str]]:
    """Return the columns that a model takes beside the labels, and sentences on columns worth a warning."""
    columns, taken, found = [], {}, defaultdict(list)
    classes = frame[target].n_unique()
    for name in frame.columns:
        if name == target:
            continue
        values, odd = as_numbers(frame[name])
        values = values if odd is None else frame[name]
        count = values.drop_nulls().n_unique()
        content = values.hash().to_numpy().tobytes()
        if count < 2:
            found["sterling leaves out columns with a single value"].append(repr(name))
        elif count == len(values) and _identifies(name, values):
            found["sterling leaves out columns that look like identifiers"].append(repr(name))
        elif content in taken:
            found["sterling leaves out copies of columns"].append(f"{name!r} (of {taken[content]!r})")
        elif odd is not None and count > _MOST_TEXTS:
            what = f"sterling leaves out columns with more than {_MOST_TEXTS} texts"
            found[what].append(f"{name!r} ({count}, with {values[odd][:_LETTERS]!r} in row {odd + 1})")
        else:
            taken[content] = name
            columns.append(Column(name, None if odd is None else tuple(values.drop_nulls().unique().sort())))
            if count == classes == frame.select(target, name).unique().height:
                what = "each class has another value in one column; drop it unless you know it beforehand"
                found[what].append(repr(name))
    if not columns:
        raise InputError("; ".join(["no column is left that could be an input", *_sentences(found)]))
    return columns, _sentences(found)


def _identifies(name: str, values: pl.Series) -> bool:
    """Whether values that all differ look like names of the rows."""
    import polars as pl

    if values.dtype == pl.String:
        return len(values) > _MOST_TEXTS
    whole = bool((values == values.round()).all())
    consecutive = values.max() - values.min() == len(values) - 1  # type: ignore[operator]
    named = not name or _IDENTIFIER.search(name) is not None
    return whole and (named or (consecutive and len(values) >= _LEAST_ROWS))


def about_sizes(labels: pl.Series, inputs: int, training: int) -> list[str]:
    """Return sentences on more inputs than samples, a rare class, and more than two classes."""
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
    needed = [one.name for one in columns]
    if missing := [name for name in needed if name not in frame.columns]:
        near = difflib.get_close_matches(missing[0], set(frame.columns).difference(needed), n=1)
        hint = f"did you mean {near[0]!r} for {missing[0]!r}?" if near else "add them"
        raise InputError(
            f"it lacks {len(missing)} of the {len(needed)} columns that the model needs, "
            f"{shortened([repr(name) for name in missing], _SHOWN)}: {hint}"
        )
    inputs, found = [], defaultdict(list)
    for one in columns:
        texts = frame[one.name]
        if texts.null_count():
            found["values are missing, and count as the training mean"].append(repr(one.name))
        if one.texts is None:
            values, odd = as_numbers(texts)
            if odd is not None:
                raise InputError(
                    f"it has {texts[odd][:_LETTERS]!r} in column {one.name!r}, row {odd + 1}, but the model "
                    "takes numbers there: correct the value, or leave it empty"
                )
            inputs.append(values.to_numpy())
            continue
        new = ~texts.is_in(one.texts)  # null where the text is missing
        if new.any():
            text = texts.filter(new)[0]
            found["texts are new, and count as the training mean"].append(
                f"{text[:_LETTERS]!r} in {one.name!r}"
            )
        gone = new.fill_null(True).to_numpy()
        inputs += [np.where(gone, np.nan, (texts == text).fill_null(False).to_numpy()) for text in one.coded]
    return np.stack(inputs, axis=1), _sentences(found)


def _sentences(found: dict[str, list[str]]) -> list[str]:
    """Return a sentence for each thing that was found in some columns."""
    return [f"{what}: {shortened(names, _SHOWN)}" for what, names in found.items()]
