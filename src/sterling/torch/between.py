"""`flips_between`: which codes of quantised weights change between saved checkpoints, without the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sterling.base.checks import shown
from sterling.base.files import printable
from sterling.base.text import counted, percent
from sterling.errors import InputError
from sterling.surrogates import get_surrogate
from sterling.torch.artefacts import Tensors, file_of, reading, tensors_in
from sterling.torch.handle import PARAMETRIZED, named
from sterling.torch.parametrized import Quantiser
from sterling.torch.tables import Report, Table

if TYPE_CHECKING:
    import polars as pl

_QUANTISER = re.compile(
    r"(?P<name>stored|sign|absmean(?P<channel>:per=channel)?|int(?P<bits>[2-8])(:group=(?P<group>[1-9]\d{0,8}))?)"
)
_TINY = torch.finfo(torch.float32).tiny  # for a tensor of zeros


def flips_between(
    checkpoints: Iterable[Any],
    quantizer: str = "stored",
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
) -> CheckpointFlips:
    """Count the codes that change between saved checkpoints of one training run.

    It needs no model: a quantiser is named, or the checkpoints hold codes. Memory holds one tensor at a time.

    Parameters
    ----------
    checkpoints : iterable of path
        Two or more files in the order of training: .safetensors, .npz, or .pt, .pth, .bin and .ckpt with a
        state dict, which are read with ``weights_only=True``.
    quantizer : str
        What makes codes of floating-point tensors of two or more dimensions, in float32:

        - ``"sign"``: +1 if w ≥ 0, else −1.
        - ``"absmean"`` or ``"absmean:per=channel"``: w over the mean of \\|w\\|, rounded to −1, 0, 1 (BitNet
          b1.58); channels are the rows of the first axis.
        - ``"int4"`` (int2 to int8) or ``"int4:group=32"``: as torchao, symmetric: the largest \\|w\\| of a
          channel, or of a group along the last axis, is (2ᵇ − 1)/2 steps.

        ``"stored"`` takes tensors of integers as codes; packed codes count as one.
    include, exclude : str or iterable of str
        Names of layers or tensors, as the report shows them, or patterns such as ``"*.mlp.*"``. Exclude what
        training does not quantise.

    Returns
    -------
    CheckpointFlips
        `frame` has a row for each tensor.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another kind, tensors differ in shape or are not in all files,
        groups do not divide their rows, no tensor fits, or a name or pattern fits none.

    Examples
    --------
    >>> import numpy as np, tempfile, pathlib
    >>> import sterling.torch as stt
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for step, row in enumerate([[0.1, -0.2, 0.3], [-0.1, -0.2, 0.3], [0.1, -0.3, 0.2]]):
    ...     np.savez(folder / f"{step}.npz", weight=np.array([row]))
    >>> report = stt.flips_between(sorted(folder.glob("*.npz")), "sign")
    >>> report.frame().select("tensor", "flips", "never_moved", "churn").rows()
    [('weight', 2, 2, 0.333...)]
    """
    how = _QUANTISER.fullmatch(quantizer if isinstance(quantizer, str) else "")
    if how is None:
        raise InputError(
            f"quantizer is {shown(quantizer)}; give stored, sign, absmean, absmean:per=channel, int4 or "
            "int4:group=32, with 2 to 8 bits",
            argument="quantizer",
        )
    paths = [file_of(path) for path in checkpoints]
    if len(paths) < 2:
        raise InputError(f"there is {counted(len(paths), 'checkpoint')}: give two or more")
    files: list[tuple[str, Tensors]] = []
    for path in paths:
        with reading(path):
            files.append((printable(path), tensors_in(path)))
    where, first = files[0]
    names = {name: (name, PARAMETRIZED.sub(r"\1", name)) for name in first}
    wanted = named(names, include, "include", where) - named(names, exclude, "exclude", where)
    rows = []
    for name in first:
        if name in wanted:
            with reading(where):
                tensor = first[name]()
            latent = tensor.is_floating_point() and tensor.ndim > 1
            stored = tensor.ndim > 0 and not tensor.is_quantized and torch.can_cast(tensor.dtype, torch.int64)
            if tensor.numel() and (stored if quantizer == "stored" else latent):
                rows.append(_counted(name, tensor.shape, files, how))
    if not rows:
        kind = "integers" if quantizer == "stored" else "floating-point numbers in two or more dimensions"
        raise InputError(
            f"{where} has no tensor of {kind} that is included: give another quantizer, or include others"
        )
    return CheckpointFlips(rows, [name for name, _ in files])


def _codes(file: tuple[str, Tensors], name: str, shape: torch.Size, how: re.Match[str]) -> np.ndarray:
    """Return the codes of a tensor in a file; NumPy compares integers of all types."""
    where, tensors = file
    place, group = f"the tensor {printable(name)} of {where}", int(how["group"] or 0)
    if name not in tensors:
        raise InputError(f"{where} has no tensor {printable(name)}, which the first file has: exclude it")
    with reading(where):
        w = tensors[name]()
        if w.shape != shape:
            what = f"{place} has the shape {tuple(w.shape)}, in the first file {tuple(shape)}"
            raise InputError(f"{what}: exclude it")
        if how["name"] == "stored":
            return w.numpy()
        w = w if w.dtype == torch.float64 else w.float()
        if not bool(w.isfinite().all()):
            raise InputError(f"{place} has values that are not finite: exclude it, or leave out the file")
        if group and shape[-1] % group:
            what = f"groups of {group} do not divide the rows of {shape[-1]} of {place}"
            raise InputError(f"{what}: exclude it, or give another quantizer")
        if not how["bits"]:
            levels, scale = (2, "none") if how["name"] == "sign" else (3, "absmean")
            axis = 0 if how["channel"] else None
            return Quantiser(levels, scale, axis, get_surrogate("identity")).codes(w).numpy()
        most = 2 ** (int(how["bits"]) - 1) - 1
        rows = w.unflatten(-1, (-1, group)).flatten(0, -2) if group else w.flatten(1)
        step = (rows.abs().amax(1, keepdim=True) / (most + 0.5)).clamp_min(_TINY)
        return (rows * (1 / step)).round().clamp(-most - 1, most).reshape(shape).short().numpy()


def _counted(name: str, shape: torch.Size, files: Sequence[Any], how: re.Match[str]) -> dict[str, Any]:
    codes = (_codes(file, name, shape, how) for file in files)
    before = now = next(codes)
    seen = set(np.unique(now).tolist())
    moved = back = np.zeros(shape, bool)
    counts = np.zeros(4, np.int64)
    history: list[float] = []
    for new in codes:
        seen.update(np.unique(new).tolist())
        changed = new != now
        undone = changed & moved & (new == before)
        counts += [one.sum() for one in (changed, undone, changed & (new == 0), changed & (now == 0))]
        history.append(int(changed.sum()) / shape.numel())
        moved, back = moved | changed, back | undone
        before, now = np.where(changed, now, before), new
    levels = 2 ** int(how["bits"]) if how["bits"] else {"stored": len(seen), "sign": 2}.get(how["name"], 3)
    flips, undone, to_zero, from_zero = counts.tolist()
    return {
        "tensor": PARAMETRIZED.sub(r"\1", printable(name)),
        "weights": shape.numel(),
        "levels": levels,
        "checkpoints": len(files),
        "flips": flips,
        "undone": undone,
        "to_zero": to_zero if 0 in seen else None,
        "from_zero": from_zero if 0 in seen else None,
        "never_moved": int((~moved).sum()),
        "undecided": int(back.sum()) / shape.numel() if len(files) > 2 else None,
        "churn": history[-1],
        "history": history,
    }


class CheckpointFlips(Report):
    """The result of `flips_between`.

    Parameters
    ----------
    rows : list of dict
        The rows of `frame`.
    files : list of str
        The checkpoints, in order.

    Examples
    --------
    >>> import sterling.torch as stt
    >>> stt.CheckpointFlips([], ["a.npz", "b.npz"]).files
    ['a.npz', 'b.npz']
    """

    def __init__(self, rows: list[dict[str, Any]], files: list[str]):
        self.rows, self.files = rows, files

    def frame(self) -> pl.DataFrame:
        """Return one row for each tensor.

        Returns
        -------
        polars.DataFrame
            tensor, weights, levels (of stored codes: those that occur), checkpoints; flips: codes that
            differ between neighbouring checkpoints; undone: flips back to the code before; to_zero and
            from_zero: flips that end or begin at 0 (null if no code is 0); never_moved: weights without a
            flip; undecided: share of weights that returned to a code at least once (null for two
            checkpoints); churn: share of weights with another code than in the checkpoint before, for the
            last one, and ``history``, for all. Flips that are undone between two checkpoints are not seen.
        """
        import polars as pl

        kinds = {"to_zero": pl.Int64, "from_zero": pl.Int64, "undecided": pl.Float64}
        return pl.DataFrame(self.rows, schema_overrides=kinds)

    def parts(self) -> tuple[Sequence[str], Table, Sequence[str]]:
        weights = sum(row["weights"] for row in self.rows)
        history = np.sum([np.multiply(row["history"], row["weights"] / weights) for row in self.rows], axis=0)
        codes = f"{counted(weights, 'code')} in {counted(len(self.rows), 'tensor')}"
        changed = f"{percent(history[-1], 2)} of {codes} changed"
        first = f"{changed} between the last two of {len(self.files)} checkpoints."
        last = f"Changed from each checkpoint to the next: {', '.join(percent(one, 2) for one in history)}."
        titles = ("tensor", "weights", "levels", "flips", "undone", "to 0", "from 0", "never moved")
        return [first], ((*titles, "undecided", "churn"), list(map(_cells, self.rows))), [last]


def _cells(row: dict[str, Any]) -> list[str]:
    counts = [row[name] for name in ("weights", "levels", "flips", "undone", "to_zero", "from_zero")]
    shares = [row["never_moved"] / row["weights"], row["undecided"], row["churn"]]
    cells = ["–" if one is None else f"{one:,}" for one in counts]
    return [row["tensor"], *cells, *("–" if one is None else percent(one, 1) for one in shares)]
