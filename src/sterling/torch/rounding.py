"""The codes of a weight where its quantiser computes them: integers among the results of its operations.

A mode of PyTorch hears what rounding, comparing and looking up return. The codes are the last of these
integers that explain the values. If no integers do, `grids` reads the values alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sterling.errors import InputError
from sterling.torch import grids
from sterling.torch.functions import MOST_EVEN
from sterling.torch.grids import Grid, GridReader, Reading

#: Operations whose results are decisions, if they are integers. Arithmetic on decisions gives decisions.
_DECIDE = frozenset(("round", "floor", "ceil", "trunc", "sign", "sgn"))
_MOST = 1 << 15  # larger integers are no codes
_PADDED = 4  # codes may be padded to this multiple of the weight's size
_LAST = 8  # decisions that are tried, counted from the last
_JOINED = 4  # decisions that may make a code together
_KEYS = 1 << 12  # their combinations
_FEW = 3  # levels that values show surely
_CHECKED = 1 << 14  # weights whose values are compared with their codes at each reading
_COLUMNS = 256  # least number of columns among them, if there are few rows
_UNKNOWN = _MOST - 1  # the code of a combination that was not seen

Place = tuple[int, str]  # number of the result among those of the weight's size; name of the operation


class Integers(TorchDispatchMode):
    """Keeps results that are decisions and have a weight's size: all of them, or those at given places."""

    def __init__(self, shape: torch.Size, places: Collection[Place], sources: Collection[torch.Tensor]):
        super().__init__()
        self.shape, self.places, self._rows = shape, places, shape[0] if shape else 1
        self.heard: dict[Place, torch.Tensor] = {}
        self.bounds: list[tuple[float, float]] = []
        self.origins = {home(one): frozenset((id(one),)) for one in sources}
        self._count, self._kept = 0, list(sources)
        self._decided: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        for one in results if isinstance(results, tuple | list) else (results,):
            if isinstance(one, torch.Tensor):
                self._hear(func, (args, kwargs), one)
        return results

    def _hear(self, func: Any, given: Any, one: torch.Tensor) -> None:
        size, name = self.shape.numel(), func._schema.name.rpartition(":")[2].rstrip("_")
        fits = size <= one.numel() <= _PADDED * size and one.numel() % self._rows == 0
        self._count += fits
        place, codes = (self._count, name), one
        if self.places and place not in self.places:
            return
        fused = ("fake_quantize" in name or "obs_fq" in name) and one.is_floating_point()
        if fused and fits:
            codes = _unscaled(_named(func, given[0]), one)
        if fits and self.places:
            self.heard[place] = self._codes(codes)
            return
        inputs = [x for x in tree_leaves(given) if isinstance(x, torch.Tensor)]
        self.origins[home(one)] = frozenset().union(*(self.origins.get(home(x), ()) for x in inputs))
        self._kept.append(one)  # so that no other tensor takes its place in memory
        decides = self._decides(name, codes, inputs, fused)
        if decides:
            self._decided.add(home(one))
        elif fits:
            self._decided.discard(home(one))
        if decides and fits:
            self.heard[place] = self._codes(codes)
        if fits and (fused or name == "clamp"):
            self.bounds += _bounds(_named(func, given[0]))

    def _decides(self, name: str, one: torch.Tensor, inputs: list[torch.Tensor], fused: bool) -> bool:
        if not one.is_floating_point():
            return not one.is_complex()
        if not one.numel() or not torch.equal(one, one.round()) or not float(one.abs().max()) < _MOST:
            return False
        if name in _DECIDE or fused:
            return True
        for x in inputs:
            if not x.is_floating_point() or home(x) in self._decided:
                continue
            # A scale or a learned level may be an integer by chance, but a constant is one.
            if x.numel() == one.numel() or x.requires_grad or name in ("mul", "div"):
                return False
        return True

    def _codes(self, one: torch.Tensor) -> torch.Tensor:
        """Return a copy in the weight's shape; a quantiser in blocks may have padded the rows."""
        rows = one.detach().reshape(self._rows, -1)[:, : self.shape.numel() // self._rows]
        return rows.reshape(self.shape).to(torch.int16, copy=True)


def home(one: torch.Tensor) -> int:
    """Return where the values of a tensor lie in memory."""
    return one.untyped_storage().data_ptr()


def _named(func: Any, args: Any) -> dict[str, Any]:
    return dict(zip((one.name for one in func._schema.arguments), args, strict=False))


def _unscaled(given: dict[str, Any], values: torch.Tensor) -> torch.Tensor:
    """Return the codes of an operation that rounds and multiplies by its scale."""
    scale, shape = torch.as_tensor(given["scale"], device=values.device).detach(), [1] * values.ndim
    if scale.numel() > 1:
        shape[given.get("axis", given.get("ch_axis", 0))] = -1
    return (values.detach() / scale.reshape(shape)).round()


def _bounds(given: dict[str, Any]) -> list[tuple[float, float]]:
    ends = [given.get("min", given.get("quant_min")), given.get("max", given.get("quant_max"))]
    known = [float(one) for one in ends if isinstance(one, int | float | torch.Tensor) and _is_one(one)]
    return [(known[0], known[1])] if len(known) == 2 else []


def _is_one(number: Any) -> bool:
    return not isinstance(number, torch.Tensor) or number.numel() == 1


class CodeReader:
    """Reads the codes of a weight repeatedly; `grid` is the last full reading, None if there are no levels.

    Each reading is checked against some of the values. If the quantiser takes another way, the search for the
    decisions that are its codes is repeated.
    """

    def __init__(self, values: Reading, latent: torch.Tensor | None, sources: Collection[torch.Tensor] = ()):
        self.values, self.latent, self.sources = values, latent, sources
        self.origin: frozenset[int] = frozenset()  # ids of the sources from which the values come
        self._places: list[tuple[Place, int, int]] = []  # with the least integer and the span
        self._table: torch.Tensor | None = None  # the codes of joined decisions
        self._line = (1, 0)  # or codes are this multiple of the integers, and this added
        self._by_value: GridReader | None = None
        self._bounds: list[tuple[float, float]] = []
        self._readings = 0
        with torch.no_grad():
            self.shape = values().shape
        self.grid = self._search()

    def codes(self) -> torch.Tensor:
        """Return the present codes."""
        if self._by_value is not None or self.grid is None:
            return self.read().codes
        seen, heard = self._run()
        codes = self._translated(heard)
        self._readings += 1
        every = -(-seen.numel() // _CHECKED)
        parts = [
            grids.rows_of(one, self.grid.sharing) for one in (seen, codes, self.latent) if one is not None
        ]
        rows, columns = parts[0].shape
        few = rows < every
        if few:  # some columns of each row are checked, otherwise some rows
            every = max(1, min(every, columns // _COLUMNS))
        chosen = slice(self._readings % every, None, every)
        some = [one[:, chosen] if few else one[chosen] for one in parts]
        latent = some[2] if len(some) > 2 else None
        if codes is None or self._explained(some[0], some[1], "channel", latent) is None:
            return self._again().codes
        return codes

    def read(self) -> Grid:
        """Return the present codes and levels."""
        if self._by_value is not None:
            return self._by_value.read(self.values(), self.latent)
        assert self.grid is not None
        seen, heard = self._run()
        codes = self._translated(heard)
        found = None if codes is None else self._explained(seen, codes, self.grid.sharing, self.latent)
        self.grid = found or self._again()
        return self.grid

    def levels(self) -> int:
        """Return the number of values that a weight can take, of one row if rows have zero points."""
        assert self.grid is not None
        if not self.grid.even or self._by_value is not None:
            return self.grid.levels
        rows = grids.rows_of(self.grid.codes, self.grid.sharing)
        spread = int((rows.amax(1) - rows.amin(1)).max())
        if bool((rows % 2 != 0).all()):
            return spread // 2 + 1
        widths = [high - low for low, high in self._bounds if spread <= high - low < _MOST]
        return int(([spread] + [one for one in widths if one % 1 == 0])[-1]) + 1

    def wide(self, levels: int) -> bool:
        """Return whether codes may lie beyond ±127."""
        assert self.grid is not None
        return levels > (MOST_EVEN if self._bounds else 16) or int(self.grid.codes.abs().amax()) > 127

    def unsure(self) -> bool:
        """Return whether values alone do not show the codes: rows are short, or have different levels."""
        if self._by_value is None or self.grid is None or self.grid.levels <= _FEW:
            return False
        rows = grids.rows_of(self.grid.codes, self.grid.sharing)
        return len(rows) > 1 and not (self.grid.even and rows.shape[1] >= 2 * self.grid.levels)

    def _run(self) -> tuple[torch.Tensor, dict[Place, torch.Tensor]]:
        mode = Integers(self.shape, [place for place, _, _ in self._places], self.sources)
        with torch.no_grad(), eager(), mode:
            seen = self.values()
        return seen, mode.heard

    def _again(self) -> Grid:
        kept, before = dict(vars(self)), self.grid
        self.grid = self._search()
        if self.grid is None or before is None or self.grid.even != before.even or self._by_value is not None:
            vars(self).update(kept)  # so that the next reading fails too, or reads the codes as before
            raise InputError(
                "the quantiser of a weight now computes its codes in another way, so that they cannot be "
                "known: give `codes`"
            )
        return self.grid

    def _search(self) -> Grid | None:
        mode = Integers(self.shape, (), self.sources)
        with torch.enable_grad(), eager(), mode:  # gradients show what is learned
            seen = self.values().detach()
        if not seen.numel() or not bool(seen.isfinite().all()):
            return None
        self._bounds, self.origin = mode.bounds, mode.origins.get(home(seen), frozenset())
        heard: dict[Place, torch.Tensor] = {}  # the last decisions, the last one first
        for place, codes in reversed(mode.heard.items()):
            known = len(heard) == _LAST or any(torch.equal(codes, one) for one in heard.values())
            if not known and int(codes.min()) < int(codes.max()):
                heard[place] = codes
        for offset in (False, True):
            for place, codes in heard.items():
                for sharing in grids.ways(seen):
                    grid = grids.linear(seen, codes, sharing, self.latent, offset)
                    if grid is not None:
                        self._places, self._table, self._line = [(place, 0, 0)], None, (1, 0)
                        return grid
        last = list(heard)
        joined = [last[:count] for count in range(2, min(len(last), _JOINED) + 1)]
        for places in [[one] for one in last] + joined:
            grid = self._joined(seen, heard, places)
            if grid is not None:
                return grid
        grid = grids.find_grid(seen, self.latent)
        self._by_value = None if grid is None else GridReader(grid)
        return grid

    def _joined(
        self, seen: torch.Tensor, heard: dict[Place, torch.Tensor], places: list[Place]
    ) -> Grid | None:
        """Return the grid of codes that are ranks of the levels, if decisions together show the level."""
        ends = [(place, int(heard[place].min()), int(heard[place].max())) for place in places]
        self._places = [(place, low, high - low + 1) for place, low, high in ends]
        size = math.prod(span for _, _, span in self._places)
        if size > _KEYS:
            return None
        used, dense = self._keys(heard).unique(return_inverse=True)
        for sharing in grids.ways(seen):
            codes = grids.ranked(seen, dense, len(used), sharing, self.latent)
            if codes is None:
                continue
            self._table = torch.full((size,), _UNKNOWN, dtype=torch.int16, device=seen.device)
            self._table[used] = codes
            if len(places) == 1 and bool((codes.diff() > 0).all()):
                # One decision in the order of the levels: levels that are not in use now have codes too.
                (_, low, high), step = ends[0], 1 if size % 2 else 2
                ranked = (step, -step * low - (size - 1) * step // 2)
                self._table, self._line = None, (1, 0) if low < 0 < high else ranked
            found = self._translated({place: heard[place] for place in places})
            return None if found is None else grids.uneven(seen, found, sharing, self.latent)
        return None

    def _keys(self, heard: dict[Place, torch.Tensor]) -> torch.Tensor:
        """Return one integer for the decisions about each weight, −1 for integers out of their spans."""
        key, outside = 0, False
        for place, low, span in self._places:
            integer = heard[place].long() - low
            key, outside = key * span + integer, outside | (integer < 0) | (integer >= span)
        return torch.where(torch.as_tensor(outside), -1, key)

    def _translated(self, heard: dict[Place, torch.Tensor]) -> torch.Tensor | None:
        """Return the codes that decisions mean, None if some decisions were not seen before."""
        if len(heard) != len(self._places):
            return None
        if self._table is None:
            times, more = self._line
            codes = heard[self._places[0][0]]
            return codes if (times, more) == (1, 0) else codes * times + more
        keys = self._keys(heard)
        codes = self._table[keys]
        return None if bool(((keys < 0) | (codes == _UNKNOWN)).any()) else codes

    def _explained(
        self, seen: torch.Tensor, codes: torch.Tensor, sharing: str, latent: torch.Tensor | None
    ) -> Grid | None:
        """Return the grid if the values are those of the codes."""
        assert self.grid is not None
        if not self.grid.even:
            return grids.uneven(seen, codes, sharing, latent)
        return grids.linear(seen, codes, sharing, latent, self.grid.offset is not None)


def eager() -> contextlib.AbstractContextManager[Any]:
    set_stance = getattr(torch.compiler, "set_stance", None)  # since PyTorch 2.6
    return contextlib.nullcontext() if set_stance is None else set_stance("force_eager")
