"""The result of `audit`: sentences and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sterling.base.text import counted, number
from sterling.torch.tables import Report, Table, readable

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class AuditFinding:
    """One fact about a tensor that its user should know."""

    sentence: str  # the fact, and what to do
    defect: str = ""  # the fact in a few words if it is a defect

    @property
    def grade(self) -> str:
        """Either "defect" or "note"."""
        return "defect" if self.defect else "note"


@dataclass
class TensorAudit:
    """One quantised tensor; `Audit.frame` explains the numbers."""

    tensor: str
    framework: str
    weights: int
    levels: int
    scale: float
    latent: str
    no_gradient: float | None = None
    why: dict[str, float] = field(default_factory=dict)
    other_clamp: float | None = None
    at_zero: int | None = None
    surrogate: str = "not known"
    window: tuple[float, float] | None = None
    findings: list[AuditFinding] = field(default_factory=list)
    kind: str = "weight"

    @property
    def grade(self) -> str | None:
        """The worst grade of its findings."""
        return min((one.grade for one in self.findings), default=None)


class Audit(Report):
    """The result of `audit`.

    Parameters
    ----------
    rows : list of TensorAudit
        One row for each quantised tensor.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> report = stt.audit(stt.binarize(torch.nn.Linear(32, 8), surrogate="hard_tanh", scale="none"))
    >>> print(report.headline())
    Nothing is wrong with the one quantised tensor.
    >>> report.frame().select("tensor", "levels", "no_gradient", "at_zero", "surrogate").row(0)
    ('weight', 2, 0.0, 1, 'hard_tanh')
    """

    def __init__(self, rows: list[TensorAudit]):
        self.rows = rows

    @property
    def findings(self) -> list[str]:
        """Sentences about all tensors with their grades, defects first."""
        found = [(row.tensor, one) for row in self.rows for one in row.findings]
        found.sort(key=lambda pair: pair[1].grade)
        return [f"{tensor}: {one.grade}: {one.sentence}." for tensor, one in found]

    @property
    def grade(self) -> str | None:
        """The worst grade of all findings: "defect", "note", or None without findings."""
        return min((row.grade for row in self.rows if row.grade), default=None)

    def headline(self) -> str:
        """Return one line that says what is wrong.

        Returns
        -------
        str
            It names the tensor with the largest share of weights that get no gradient, under either gradient
            of clamp.
        """
        bad = [row for row in self.rows if row.grade == "defect"]
        if not bad:
            which = "one quantised tensor" if len(self.rows) == 1 else f"{len(self.rows)} quantised tensors"
            return f"Nothing is wrong with the {which}."
        worst = max(bad, key=lambda row: (row.levels < 2, max(row.no_gradient or 0, row.other_clamp or 0)))
        causes = "; ".join(one.defect for one in worst.findings if one.defect)
        return (
            f"Wrong in {len(bad)} of {counted(len(self.rows), 'quantised tensor')}: {worst.tensor}: {causes}."
        )

    def frame(self) -> pl.DataFrame:
        """Return one row for each tensor.

        Returns
        -------
        polars.DataFrame
            ``tensor``, for activations the module that uses them; ``kind``, "weight" or "activation";
            ``framework``; ``weights``, their number, or that of the activations in the example; ``levels``,
            the number of values that one of a group with the same scale can take (activations: does take);
            ``scale``, the mean value of a unit of the codes; ``latent``, where it is stored;
            ``no_gradient``, the share of weights with a latent that gets no gradient (activations: that pass
            none to the quantiser's input) while averages, such as a mean size as scale, are held fixed, and
            ``why``;
            ``other_clamp``, that share under the other gradient of `torch.clamp` at its bounds (0 since
            PyTorch 2.14, 1 before); ``at_zero``, the code of a latent that is 0; ``surrogate``, by probing,
            and its window in steps; ``findings``, sentences; ``grade``, the worst of theirs: "defect",
            "note", or null without findings.
        """
        import polars as pl

        rows = [
            {
                **vars(row),
                "grade": row.grade,
                "why": ", ".join(row.why),
                "findings": [f"{one.grade}: {one.sentence}" for one in row.findings],
            }
            for row in self.rows
        ]
        optional = {"at_zero": pl.Int64, "no_gradient": pl.Float64, "other_clamp": pl.Float64}
        lists = {"window": pl.List(pl.Float64), "findings": pl.List(pl.String)}
        return pl.DataFrame(rows, schema_overrides={**optional, **lists, "grade": pl.String})

    def parts(self) -> tuple[Sequence[str], Table, Sequence[str]]:
        titles = ("tensor", "levels", "scale", "no gradient", "why", "at zero", "surrogate", "latent")
        rows = list(map(_cells, self.rows))
        return [self.headline()], (titles, rows), [f"• {one}" for one in self.findings]


def _cells(row: TensorAudit) -> tuple[str, ...]:
    window = "" if row.window is None else f" ({number(row.window[0])} … {number(row.window[1])} steps)"
    return (
        row.tensor,
        str(row.levels),
        number(row.scale),
        "not known" if row.no_gradient is None else readable(row.no_gradient) if row.no_gradient else "none",
        ", ".join(row.why),
        "" if row.at_zero is None else number(row.at_zero),
        row.surrogate + window,
        row.latent,
    )
