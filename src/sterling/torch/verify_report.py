"""The result of `verify`: sentences and a table of the tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sterling.base.text import counted, number
from sterling.torch.tables import Report, TensorTable

if TYPE_CHECKING:
    import polars as pl


@dataclass
class TensorCheck:
    """One quantised tensor, here and in the artefact; `Verification.frame` explains the fields."""

    tensor: str
    weights: int
    stored_as: str = ""
    kind: str = ""
    codes: int = 0
    scales: int = 0
    first: tuple[int, ...] | None = None
    expected: float | None = None
    found: float | None = None
    cause: str = ""

    def sentence(self) -> str:
        """Return what differs, where, and why."""
        where = f"{self.stored_as} ({self.kind})"
        if self.first is None:
            return f"{self.tensor}{f' in {where}' if self.stored_as else ''}: {self.cause}."
        parts = [(self.codes, "code"), (self.scales, "scale")]
        what = " and ".join(counted(count, noun) for count, noun in parts if count)
        differ = "differs" if self.codes + self.scales == 1 else "differ"
        found, expected = (f"{one:.6g}".replace("-", "−") for one in (self.found, self.expected))
        return (
            f"{self.tensor}: {what} of {self.weights:,} weights {differ} in {where}, "
            f"first at {list(self.first)} with {found} instead of {expected}: {self.cause}."
        )


class Verification(Report):
    """The result of `verify`.

    Parameters
    ----------
    rows : list of TensorCheck
        One for each quantised tensor and each place of the artefact that holds it.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Linear(4, 3), levels=3)
    >>> found = stt.verify(model, torch.nn.Linear(4, 3))
    >>> found.ok, len(found.findings)
    (False, 1)
    """

    def __init__(self, rows: Sequence[TensorCheck]):
        self.rows = list(rows)

    @property
    def ok(self) -> bool:
        """Whether the artefact holds every quantised tensor, and nothing differs."""
        return not any(row.cause for row in self.rows)

    @property
    def findings(self) -> list[str]:
        """One sentence for each tensor that differs or is missing."""
        return [row.sentence() for row in self.rows if row.cause]

    def frame(self) -> pl.DataFrame:
        """Return one row for each tensor.

        Returns
        -------
        polars.DataFrame
            ``tensor``; ``weights``, their number; ``stored_as``, its name in the artefact; ``kind``, the type
            there; ``codes`` and ``scales``, the number of weights with another code or another scale;
            ``first``, the index of the first such weight; ``expected`` and ``found``, its value in the model
            and in the artefact; ``cause``, empty if nothing differs.
        """
        import polars as pl

        types: dict[str, Any] = {"first": pl.List(pl.Int64), "expected": pl.Float64, "found": pl.Float64}
        rows = [{**asdict(row), "first": row.first and list(row.first)} for row in self.rows]
        return pl.DataFrame(rows, schema_overrides=types)

    def _headline(self) -> str:
        total, wrong = counted(len(self.rows), "quantised tensor"), len(self.findings)
        if self.ok:
            return f"The artefact holds the codes and scales of {total}."
        return f"The artefact differs in {wrong} of {total}."

    def parts(self) -> tuple[Sequence[str], TensorTable, Sequence[str]]:
        titles = ("tensor", "in the artefact", "type", "weights", "codes differ", "scales differ", "cause")
        rows = [
            (
                *(row.tensor, row.stored_as, row.kind),
                *map(number, (row.weights, row.codes, row.scales)),
                row.cause,
            )
            for row in self.rows
        ]
        return [self._headline()], TensorTable(titles, rows), [f"• {one}" for one in self.findings]

    def __repr__(self) -> str:
        return f"<Verification: {self._headline()}>"
