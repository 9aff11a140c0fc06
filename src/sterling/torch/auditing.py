"""`audit`: what each quantiser of a model does to its latents, in numbers, sentences, a table and a page.

`weights` finds the tensors, `probes` tries them; here it is judged and said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sterling.base.checks import instance_of, integer, shown
from sterling.base.files import write_atomically
from sterling.base.text import counted, number
from sterling.errors import InputError, InputTypeError
from sterling.torch import probes
from sterling.torch.clamps import ClampGradient
from sterling.torch.grids import find_grid
from sterling.torch.handle import QuantisedWeight, on_grid
from sterling.torch.probes import CLAMP, DEAD, NONE, TAIL
from sterling.torch.tables import Table, Told
from sterling.torch.taps import in_one_sentence
from sterling.torch.weights import find, is_parq

if TYPE_CHECKING:
    import polars as pl

NOTABLE = 0.01  # a share of weights without gradient from which on it is a defect
_TINY = 1e-6  # of the largest latent: next to 0
_MANY = 16  # levels up to which empty ones are named

WHY = {
    CLAMP: "it clamps rounded values, and the gradient of the clamp is 0 at its bounds, so weights on an "
    "outermost level are cut off: clamp before rounding, or let the gradient pass the clamp",
    TAIL: "latents far from zero are cut off, so they come back only by decay: clip the latents to the range "
    "that passes, or use the identity as surrogate",
    DEAD: "latents near zero are cut off, so a weight that gets there stays: let the gradient pass there too",
    NONE: "the quantiser has no straight-through gradient, so nothing is learnt: give it one",
    probes.OTHER: "the slope of the quantiser is 0 there",
}


@dataclass(frozen=True)
class Finding:
    """One thing to know about a tensor."""

    short: str  # in a few words
    sentence: str  # what it is, and what to do
    wrong: bool  # whether it is a defect, and not only worth knowing


@dataclass
class TensorAudit:
    """What was found about one quantised tensor; `Audit.frame` explains the numbers."""

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
    ties: str | None = None
    surrogate: str = "not known"
    window: tuple[float, float] | None = None
    empty: tuple[int, ...] = ()
    findings: list[Finding] = field(default_factory=list)


class Audit(Told):
    """What `audit` found.

    Parameters
    ----------
    rows : list of TensorAudit
        One for each quantised tensor.

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
        """Sentences on all tensors: defects first."""
        ordered = sorted(
            ((not one.wrong, place, one) for place, row in enumerate(self.rows) for one in row.findings),
            key=lambda entry: entry[:2],
        )
        return [f"{self.rows[place].tensor}: {one.sentence}." for _, place, one in ordered]

    def headline(self) -> str:
        """Return one line that says what is wrong, if anything is.

        Returns
        -------
        str
            The tensor with the largest share of weights without gradient, under either gradient of clamp,
            stands for the others.
        """
        bad = [row for row in self.rows if any(one.wrong for one in row.findings)]
        if not bad:
            which = (
                "the one quantised tensor"
                if len(self.rows) == 1
                else f"the {len(self.rows)} quantised tensors"
            )
            return f"Nothing is wrong with {which}."
        worst = max(bad, key=lambda row: (row.levels < 2, max(row.no_gradient or 0, row.other_clamp or 0)))
        told = "; ".join(one.short for one in worst.findings if one.wrong)
        return (
            f"Wrong in {len(bad)} of {counted(len(self.rows), 'quantised tensor')}: {worst.tensor}: {told}."
        )

    def frame(self) -> pl.DataFrame:
        """Return one row for each tensor.

        Returns
        -------
        polars.DataFrame
            ``tensor``; ``framework``; ``weights``, their number; ``levels``, how many a weight can take;
            ``scale``, the mean of what a unit of the codes stands for; ``latent``, where it lives;
            ``no_gradient``, the share of weights whose latent gets none, and ``why``; ``other_clamp``, the
            share under the other gradient of `torch.clamp` at its bounds (0 since PyTorch 2.14, 1 before);
            ``at_zero``, the code of a latent that is 0; ``ties``, where those half-way go; ``surrogate``, by
            probing, and its window in steps; ``empty``, codes that no weight has; ``findings``.
        """
        import polars as pl

        rows = [
            {
                **vars(row),
                "why": ", ".join(row.why),
                "window": None if row.window is None else list(row.window),
                "empty": list(row.empty),
                "findings": [one.sentence for one in row.findings],
            }
            for row in self.rows
        ]
        lists = {"window": pl.List(pl.Float64), "empty": pl.List(pl.Int64), "findings": pl.List(pl.String)}
        optional = {
            "at_zero": pl.Int64,
            "ties": pl.String,
            "no_gradient": pl.Float64,
            "other_clamp": pl.Float64,
        }
        return pl.DataFrame(rows, schema_overrides={**lists, **optional})

    def table(self) -> list[tuple[str, ...]]:
        """Return the table that pages and terminals show.

        Returns
        -------
        list of tuples of str
            The first one holds the titles.
        """
        titles = ("tensor", "levels", "scale", "no gradient", "why", "at zero", "surrogate", "latent")
        return [titles, *(_cells(row) for row in self.rows)]

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as plain values.

        Returns
        -------
        dict
            ``headline``, ``findings`` and ``tensors``, the rows of `frame`.
        """
        return {"headline": self.headline(), "findings": self.findings, "tensors": self.frame().to_dicts()}

    def to_html(self, command: str = "") -> str:
        """Return a page with everything in it.

        Parameters
        ----------
        command : str
            What gives this page again; left out if empty.

        Returns
        -------
        str
            HTML that loads nothing from elsewhere.
        """
        from sterling.report.html import page

        titles, *rows = self.table()
        return page(
            "audit.html",
            headline=self.headline(),
            titles=titles,
            rows=rows,
            findings=self.findings,
            about=f"PyTorch {torch.__version__}",
            command=command,
        )

    def save(self, path: str | os.PathLike, command: str = "") -> Path:
        """Write the page to a file, whole or not at all.

        Parameters
        ----------
        path : path
            Of the HTML file.
        command : str
            What gives this page again; left out if empty.

        Returns
        -------
        Path
            That of the file.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        return write_atomically(path, self.to_html(command).encode())

    def told(self) -> tuple[Sequence[str], Table, Sequence[str]]:
        titles, *rows = self.table()
        return [self.headline()], Table(titles, rows), [f"• {one}" for one in self.findings]

    def __repr__(self) -> str:
        return f"<Audit of {counted(len(self.rows), 'quantised tensor')}: {self.headline()}>"


def audit(
    model: nn.Module | Callable[..., Any],
    example: Any = None,
    codes: Callable[[str, nn.Parameter], torch.Tensor | None] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    bits: int | None = None,
) -> Audit:
    """Say for each quantised weight tensor of a model what its quantiser does, and what is wrong with it.

    The quantisers are tried: with the latents as they are, with a ramp, with zeros and ties. Everything is
    afterwards as it was.

    Parameters
    ----------
    model : Module or callable
        A model with quantised weights of any framework; or a single quantiser, from a tensor of latents to
        one of weights (or to a tuple that begins with it), which may be a module as well; or a quantiser of
        PARQ, with `bits`.
    example : Tensor, tuple or dict, optional
        What the model is called with, so that weights of unknown quantisers are found. For a single
        quantiser: latents; else it gets Gaussian ones of standard deviation 0.1.
    codes : function of (name, parameter), optional
        As for `find`.
    optimizer : Optimizer, optional
        Whether it moves the latents is looked at. PARQ's holds the quantiser.
    bits : int, optional
        For a quantiser of PARQ; 0 is ternary there.

    Returns
    -------
    Audit
        `frame` has the numbers, `findings` the sentences.

    Raises
    ------
    InputError
        If no quantised weight is found, or the model cannot be run on the example.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> class Round(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x.round()
    ...     @staticmethod
    ...     def backward(ctx, gradient):
    ...         return gradient
    >>> def ternary(w):
    ...     scale = w.abs().mean().detach()
    ...     return scale * Round.apply(w / scale).clamp(-1, 1)
    >>> with stt.ClampGradient(at_bound=0):  # as since PyTorch 2.14
    ...     report = stt.audit(ternary)
    >>> report.headline()[:69]
    'Wrong in 1 of 1 quantised tensor: quantiser: 69 % of its weights get '
    >>> report.frame()["why"].to_list()
    ['clamp at its bound']
    """
    if _is_parq_quantiser(model):
        return Audit([_of_parq(model, integer(2 if bits is None else bits, "bits", 0, 8), example)])
    if bits is not None:
        raise InputError("bits is for a quantiser of PARQ alone: leave it out")
    if not isinstance(model, nn.Module):
        if not callable(model):
            raise InputTypeError(f"model is {shown(model)}; give a torch.nn.Module, or a quantiser to call")
        return Audit([_examined(_handle(model, example))])
    if _is_quantiser(model):
        return Audit([_examined(_handle(model, example))])
    moved = None
    if optimizer is not None:
        instance_of(optimizer, torch.optim.Optimizer, "optimizer", "a torch.optim.Optimizer")
        moved = {id(one) for group in optimizer.param_groups for one in group["params"]}
    rows = []
    for weight in find(model, example, codes, optimizer):
        row = _examined(weight)
        if moved is not None and not any(id(one) in moved for one in weight.trained) and weight.trained:
            told = "the optimizer does not hold its latents, so they never move: add them to its parameters"
            row.findings.append(Finding("its latents are not in the optimizer", told, True))
        if optimizer is not None and is_parq(optimizer) and weight.framework == "parq":
            _compare_paths(row, optimizer.quantizer, weight, optimizer.quant_per_channel)  # type: ignore[attr-defined]
        rows.append(row)
    return Audit(rows)


def _is_parq_quantiser(thing: Any) -> bool:
    return hasattr(thing, "get_quant_size") and hasattr(thing, "quantize")


def _is_quantiser(module: nn.Module) -> bool:
    """Whether a module takes latents, rather than being a model: it has no matrix of parameters."""
    return not any(one.ndim > 1 for one in module.parameters())


def _latents(example: Any) -> nn.Parameter:
    if example is None:
        generator = torch.Generator().manual_seed(probes.SEED)
        return nn.Parameter(0.1 * torch.randn(64, 64, generator=generator))
    if not isinstance(example, torch.Tensor) or not example.is_floating_point():
        raise InputTypeError(
            f"example is {shown(example)}; a single quantiser is tried on a tensor of latents"
        )
    if not example.numel() or not bool(example.isfinite().all()):
        raise InputError("example is empty or not finite; a single quantiser is tried on a tensor of latents")
    return nn.Parameter(example.detach().clone())


def _handle(quantiser: Callable[..., Any], example: Any) -> QuantisedWeight:
    """Return a handle of latents that only this quantiser sees."""
    latent = _latents(example)

    def values() -> torch.Tensor:
        found = quantiser(latent)
        found = found[0] if isinstance(found, tuple) else found
        return getattr(found, "value", found)

    advice = "give a function from latents to weights, and as example latents that it takes"
    with in_one_sentence("the quantiser cannot be called on a tensor", advice), torch.enable_grad():
        seen = values()
    if not isinstance(seen, torch.Tensor) or seen.shape != latent.shape:
        raise InputError("the quantiser does not return a tensor of the latents' shape")
    if not seen.is_floating_point():
        raise InputError(f"the quantiser returns a tensor of {seen.dtype}, not of a floating-point type")
    grid = find_grid(seen.detach(), latent)
    if grid is None:
        raise InputError(
            "what the quantiser returns is on no levels: looked for evenly spaced ones, and for at most 16 "
            "others"
        )
    name = type(quantiser).__name__ if isinstance(quantiser, nn.Module) else "quantiser"
    return on_grid(grid, latent, values, name=name, modules=(), framework="callable")


def _of_parq(quantiser: Any, bits: int, example: Any) -> TensorAudit:
    def quantise(latent: torch.Tensor) -> torch.Tensor:
        quantised, _ = quantiser.quantize(latent.detach().clone(), bits)
        # Gradients are taken at the levels, and move the latents.
        return latent + (quantised - latent).detach()

    weight = _handle(quantise, example)
    weight.name = type(quantiser).__name__
    weight.framework, weight.levels = "parq", int(quantiser.get_quant_size(bits))
    row = _examined(weight)
    _compare_paths(row, quantiser, weight, False, bits)
    return row


def _compare_paths(
    row: TensorAudit, quantiser: Any, weight: QuantisedWeight, per_channel: bool, bits: int | None = None
) -> None:
    """PARQ quantises by its quantiser on some steps and to the nearest target on the others: compare ties."""
    if per_channel and bits is None:
        return
    latent = weight.latent.detach().clone()
    latent[(0,) * latent.ndim] = 0.0
    if bits is None:
        bits = max(0, (row.levels - 1).bit_length()) if row.levels != 3 else 0
    with torch.no_grad():
        direct, targets = quantiser.quantize(latent.clone(), bits)
        targets = targets.sort().values
        nearest = targets[torch.bucketize(latent, (targets[1:] + targets[:-1]) / 2)]
    first, second = float(direct.flatten()[0]), float(nearest.flatten()[0])
    if abs(first - second) > 1e-3 * float(targets.abs().max()):
        told = (
            f"ties differ between PARQ's two paths: a latent that is 0 becomes {number(first)} on steps that "
            f"update the targets and {number(second)} on the others, so it flips without moving; start from "
            "latents that are not exactly 0, or set quant_period=1"
        )
        row.findings.append(Finding("ties differ between PARQ's two paths", told, True))
        row.ties = "differ"


def _examined(weight: QuantisedWeight) -> TensorAudit:
    """Try one quantiser and judge it."""
    row = TensorAudit(
        tensor=weight.name,
        framework=weight.framework,
        weights=weight.latent.numel(),
        levels=weight.levels,
        scale=float(weight.scale().mean()),
        latent=_home(weight),
    )
    why_not = _untried(weight)
    if why_not is not None:
        row.findings = [why_not]
        row.at_zero = probes.code_at_zero(weight) if weight.framework == "codes" else None
        return row
    codes = weight.codes()
    with probes.kept(weight):
        slope = probes.slopes(weight)
        row.why = probes.reasons(slope, codes, probes.steps_of(weight))
        shares = {}
        for at_bound in (0, 1):
            with ClampGradient(at_bound):
                shares[at_bound] = float((probes.slopes(weight) == 0).float().mean())
    share = row.no_gradient = float((slope == 0).float().mean())
    row.other_clamp = max(shares.values(), key=lambda one: abs(one - share))
    shape = probes.shape_of(weight)
    row.surrogate, row.window = shape.surrogate, shape.window
    row.at_zero, row.ties = probes.code_at_zero(weight), probes.ties(weight)
    used = set(codes.unique().tolist())
    possible = used | set(shape.codes)
    row.levels = 1 if len(possible) == 1 else max(weight.levels, len(possible))
    row.empty = tuple(sorted(possible - used))
    row.findings = list(_judged(row, weight, shares))
    return row


def _untried(weight: QuantisedWeight) -> Finding | None:
    """Return why there is nothing to try, if there is not."""
    latent = weight.latent.detach()
    if not bool(latent.isfinite().all()):
        told = "its latents are not finite, so nothing else can be said of it: the training has diverged"
        return Finding("latents are not finite", told, True)
    if weight.framework == "codes":
        told = "only its codes are known, so its gradient was not looked at: give an example input instead"
        return Finding("only codes are known", told, False)
    if weight.framework == "discovery" and torch.equal(weight.values(), latent):
        told = "the parameter itself is on levels, as after decoding, and nothing quantises it in training"
        return Finding("no quantiser", told, False)
    return None


def _home(weight: QuantisedWeight) -> str:
    if weight.framework == "parq":
        return "in the state of the optimiser"
    if weight.merged:
        return "frozen base and trained factors, merged"
    if weight.framework == "callable":
        return "given"
    return "parameter" if weight.trained else "frozen parameter"


def _judged(row: TensorAudit, weight: QuantisedWeight, shares: dict[int, float]):
    if row.levels == 1:
        value = number(float(weight.values().flatten()[0]))
        told = f"all {row.weights:,} weights are {value}, whatever their latents: one level says nothing"
        if weight.framework == "torchao":
            told += "; signed integers of one bit are −1 and 0, so take int2, or two levels ±s (`binarize`)"
        else:
            told += "; make the scale smaller against the latents, or take other levels"
        what = "a layer of zeros" if value == "0" else f"all weights are {value}"
        yield Finding(what, told, True)
        return
    later, now = shares[0], row.no_gradient or 0.0
    if now > 0:
        parts = sorted(row.why.items(), key=lambda part: -part[1])
        why = "; ".join(WHY[name] for name, _ in parts)
        share = _percent(now)
        told = f"{share} of its weights get no gradient ({', '.join(row.why)}): {why}"
        short = f"{share} of its weights get no gradient ({', '.join(row.why)})"
        if NONE in row.why:
            short = "no gradient reaches its latents, unless through the scale"
            told = f"{short}: {why}"
        yield Finding(short, told, now >= NOTABLE)
    if later > now + NOTABLE / 2:
        told = (
            f"since PyTorch 2.14 the gradient of clamp is 0 at its bounds; there {_percent(later)} of its "
            f"weights get no gradient, for {WHY[CLAMP]}"
        )
        yield Finding(f"{_percent(later)} with PyTorch 2.14 and later (clamp at its bound)", told, True)
    if row.at_zero == 0 and weight.levels <= 3 and _is_a_sign(weight):
        told = (
            "the sign of 0 is 0 here, a third level: a latent that is 0, as after pruning, makes a weight 0"
        )
        yield Finding("sign(0) is 0, a third level", told, True)
    if row.empty and row.levels <= _MANY:
        some = ", ".join(f"{one:d}".replace("-", "−") for one in row.empty)
        yield Finding("empty levels", f"no weight is on level {some}, of {row.levels}", False)
    if weight.merged:
        told = "LoRA on a frozen base: what is quantised and told here is the merged weight"
        yield Finding("LoRA on a frozen base", told, False)
    elif not weight.trained:
        yield Finding("frozen", "its latents are frozen, so the weights stay as they are", False)


def _is_a_sign(weight: QuantisedWeight) -> bool:
    """Whether latents next to 0 have outer levels, so that 0 is a level by accident."""
    with probes.kept(weight) as data:
        flat = data.flatten().clone()
        flat[::4] = _TINY * float(flat.abs().max())  # a few of each channel, whose scale stays
        data.copy_(flat.reshape(data.shape))
        return bool((weight.codes().flatten()[::4] != 0).all())


def _percent(share: float) -> str:
    if share >= 0.9995:
        return "100 %"
    return f"{100 * share:.2g} %"


def _cells(row: TensorAudit) -> tuple[str, ...]:
    window = "" if row.window is None else f" ({number(row.window[0])} … {number(row.window[1])} steps)"
    return (
        row.tensor,
        str(row.levels),
        number(row.scale),
        "not known" if row.no_gradient is None else _percent(row.no_gradient) if row.no_gradient else "none",
        ", ".join(row.why),
        "" if row.at_zero is None else f"{row.at_zero:d}".replace("-", "−"),
        row.surrogate + window,
        row.latent,
    )
