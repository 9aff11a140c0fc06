"""The codes of a weight where its quantiser computes them: integers among the results of its operations.

A mode of PyTorch hears what rounding, comparing and looking up return. The codes are the last of these
integers that explain the values. If no integers do, `grids` reads the values alone.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sterling.errors import InputError
from sterling.torch import grids
from sterling.torch.grids import Decisions, Grid, Reading

#: Operations whose results are decisions or constants, if they are integers. Arithmetic keeps this.
_DECIDE = frozenset(
    ("round", "floor", "ceil", "trunc", "sign", "sgn", "ones_like", "zeros_like", "full_like")
)
#: Operations that may set the range of the codes.
_LIMIT = frozenset(("clamp", "clamp_min", "clamp_max", "minimum", "maximum", "where"))
_MOST = 1 << 15  # larger integers are no codes
_PADDED = 4  # codes may be padded to this multiple of the weight's size
_LAST = 8  # decisions that are tried, counted from the last
_JOINED = 4  # decisions that may make a code together
_FEW = 3  # levels that values show surely
#: Operations that say where another level is taken. If all weights get one answer, the codes do not show it.
_ASK = frozenset(("lt", "le", "gt", "ge", "eq", "ne"))
_EVERY = 32  # readings of which one is checked
_DRAWS = 64  # of latents that show the values of levels
_TRIED = 8  # of latents that show a step
_SMALL = 1e-3  # of the latents that are tried: a smaller one is 0

Place = tuple[int, str]  # number of the result among those of the weight's size; name of the operation


class CodesLost(InputError):
    """The codes of a weight cannot be read any more."""


class Decided(BaseException):
    """Ends a forward pass once the codes are known; no handler in the model should catch it."""


class Integers(TorchDispatchMode):
    """Keeps results that are decisions and have a weight's size: all of them, or those at given places.

    With ``stops`` it ends the pass once those at the places are known.
    """

    def __init__(
        self,
        shape: torch.Size,
        places: Collection[Place] = (),
        sources: Collection[torch.Tensor] = (),
        stops: bool = False,
    ):
        super().__init__()
        self.stops, self.shape, self.places = stops, shape, places
        self._rows, self._size = max(shape[0], 1) if shape else 1, shape.numel()
        self.heard: dict[Place, torch.Tensor] = {}
        self.floats: dict[Place, torch.Tensor] = {}  # numbers of eight bits, whose order is their code
        self.limits: list[float] = []  # of the codes' range, in the order of the operations
        self.origins = {home(one): frozenset((id(one),)) for one in sources}
        self._count, self._kept = 0, list(sources)
        self._decided: set[int] = set()
        self.random = False  # whether an operation drew numbers

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self.random |= torch.Tag.nondeterministic_seeded in func.tags
        for one in results if isinstance(results, tuple | list) else (results,):
            if isinstance(one, torch.Tensor):
                self._hear(func, (args, kwargs), one)
        return results

    def _hear(self, func: Any, given: Any, one: torch.Tensor) -> None:
        fits = self._size <= one.numel() <= _PADDED * self._size and one.numel() % self._rows == 0
        if self.places and not fits:
            return
        name = _name(func)
        self._count += fits and name != "detach"  # which there is more of while gradients are on
        place, codes, limits = (self._count, name), one, []
        if self.places and place not in self.places:
            return
        fused = ("fake_quantize" in name or "obs_fq" in name) and one.is_floating_point()
        if one.dtype.itemsize == 1 and one.is_floating_point():
            codes = _in_order(one)
        if fits and fused:
            codes = _unscaled(_named(func, given[0]), one)
        if fits and (fused or name in _LIMIT):
            named = _named(func, given[0])
            limits = _numbers(map(named.get, ("quant_min", "quant_max")) if fused else named.values())
        ends = sorted(limits) if name == "clamp" and len(limits) == 2 else None
        if self.places:
            self.heard[place] = narrowed(self._shaped(codes), ends)
            if self.stops and len(self.heard) == len(self.places):
                raise Decided
            return
        self.limits += limits
        inputs = [x for x in tree_leaves(given) if isinstance(x, torch.Tensor)]
        self.origins[home(one)] = frozenset().union(*(self.origins.get(home(x), ()) for x in inputs))
        self._kept.append(one)  # so that no other tensor takes its place in memory
        decides = self._decides(name, codes, inputs, fused)
        if decides:
            self._decided.add(home(one))
        elif fits:
            self._decided.discard(home(one))
        if decides and fits and (not codes.is_floating_point() or float(codes.abs().max()) < _MOST):
            self.heard[place] = narrowed(self._shaped(codes), ends)
            if codes is not one and not fused:
                self.floats[place] = self._shaped(one).to(torch.float32)

    def _decides(self, name: str, one: torch.Tensor, inputs: list[torch.Tensor], fused: bool) -> bool:
        if not one.is_floating_point():
            return not one.is_complex()
        if not one.numel() or not torch.equal(one, one.round()):
            return False
        if name in _DECIDE or fused:
            return True
        for x in inputs:
            # Floats of 8 bits, a scale or a learned level may be integers by chance, but a constant is one.
            known = not x.is_floating_point() or home(x) in self._decided
            if known and not (x.is_floating_point() and x.dtype.itemsize == 1):
                continue
            if x.numel() == one.numel() or x.requires_grad or name in ("mul", "div"):
                return False
        return True

    def _shaped(self, one: torch.Tensor) -> torch.Tensor:
        """Return a result in the weight's shape; a quantiser in blocks may have padded the rows."""
        rows = one.detach().reshape(self._rows, -1)[:, : self._size // self._rows]
        return rows.reshape(self.shape)


@functools.cache
def _name(func: Any) -> str:
    """Return the name of an operation, also of one that works in place."""
    return func._schema.name.rpartition(":")[2].rstrip("_")


def narrowed(codes: torch.Tensor, ends: Any = None) -> torch.Tensor:
    """Return a copy of codes as int8, or as int16 if they need it; ``ends`` are limits that are known."""
    if ends is None:
        ends = (0, 1) if codes.dtype == torch.bool else codes.aminmax()
    low, high = ends
    if low != low:
        raise InputError("the codes of a weight are not finite: the run has diverged")
    return codes.to(torch.int8 if -128 <= float(low) <= float(high) <= 127 else torch.int16, copy=True)


def first(decided: Decisions) -> torch.Tensor:
    """Return the codes if they are what was decided."""
    return decided[0]


def signs(decided: Decisions) -> torch.Tensor:
    """Return −1 and +1 if what was decided is 0 and 1."""
    return 2 * decided[0] - 1


def home(one: torch.Tensor) -> int:
    """Return where the values of a tensor lie in memory."""
    return one.untyped_storage().data_ptr()


def _in_order(one: torch.Tensor) -> torch.Tensor:
    """Return an integer for each number of eight bits, which has the order of the numbers."""
    bits = one.view(torch.int8)
    return torch.where(bits < 0, -(bits & 127), bits)


def _named(func: Any, args: Any) -> dict[str, Any]:
    return dict(zip((one.name for one in func._schema.arguments), args, strict=False))


def _unscaled(given: dict[str, Any], values: torch.Tensor) -> torch.Tensor:
    """Return the codes of an operation that rounds and multiplies by its scale."""
    scale, shape = torch.as_tensor(given["scale"], device=values.device).detach(), [1] * values.ndim
    if scale.numel() > 1:
        shape[given.get("axis", given.get("ch_axis", 0))] = -1
    return (values.detach() / scale.reshape(shape)).round()


def _numbers(given: Iterable[Any]) -> list[float]:
    """Return the numbers and the tensors of one number, unless they are learned."""
    tensors = [one for one in given if one is not None and not isinstance(one, bool)]
    single = [one for one in map(torch.as_tensor, tensors) if one.numel() == 1]
    return [float(one) for one in single if one.dtype != torch.bool and not one.requires_grad]


def _span(grid: Grid) -> tuple[int, int]:
    """Return the largest difference of codes that share a scale, and their spacing: 2 if all are odd."""
    rows = grids.rows_of(grid.codes.short(), grid.sharing)
    return int((rows.amax(1) - rows.amin(1)).max()), 2 if bool((rows % 2 != 0).all()) else 1


@contextlib.contextmanager
def kept(latent: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the data of latents to write into, with gradients on; restore both afterwards."""
    before, trained = latent.detach().clone(), latent.requires_grad
    latent.requires_grad_(True)
    try:
        yield latent.data
    finally:
        latent.data.copy_(before)
        latent.requires_grad_(trained)


class CodeReader:
    """Reads the codes of a weight repeatedly; `grid` is the last full reading, None if there are no levels.

    One reading of 32 is checked against the values. If the quantiser takes another way, the search for the
    decisions that are its codes is repeated.
    """

    def __init__(
        self,
        values: Reading,
        shape: torch.Size,
        latent: torch.Tensor | None,
        sources: Collection[torch.Tensor] = (),
        stops: bool = True,  # whether decisions alone are read, between checks
    ):
        self.values, self.shape, self.latent = values, shape, latent
        self.sources, self.stops = sources, stops
        self.origin: frozenset[int] = frozenset()  # ids of the sources from which the values come
        self._places: list[Place] = []  # of the decisions; empty if values alone show the codes
        self._guards: dict[Place, int] = {}  # answers that all weights share; another one shows new levels
        self._code: Callable[[Decisions], torch.Tensor | None] = first
        self._limits: list[float] = []
        self._readings = 0
        self.grid = self._search()
        self.levels, self._most = 0, 0
        if self.grid is not None:
            self.levels, self._most = self._possible(self.grid), int(self.grid.codes.abs().amax())

    def codes(self) -> torch.Tensor:
        """Return the present codes."""
        self._readings += 1
        if not self._places or self._readings % _EVERY == 0:
            return narrowed(self.read().codes)
        codes = self._run(self.stops)[1]
        return narrowed(self._again().codes) if codes is None else codes

    def read(self) -> Grid:
        """Return the present codes and levels."""
        seen, codes = self._run()
        assert self.grid is not None
        assert seen is not None
        if not self._places:
            found = grids.follow(self.grid, self._most, seen, self.latent)
            if found.even:
                self.grid, self._most = found, max(self._most, int(found.codes.abs().amax()))
            return found
        self.grid = (None if codes is None else self._on(seen, codes)) or self._again()
        return self.grid

    def _on(self, seen: Any, codes: torch.Tensor) -> Grid | None:
        """Return the grid of values with these codes, if they are on one of the present kind."""
        assert self.grid is not None
        if self.grid.even:
            offset = self.grid.offset is not None
            return grids.linear(seen, codes, self.grid.sharing, self.latent, offset)
        return grids.uneven(seen, codes, self.grid.sharing, self.latent)

    def dequantise(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the values that the weight would have with these codes and its present levels."""
        grid, values = self._with_steps(codes), self.values()
        spreads = not grid.even and self._places and self.latent is not None
        return grid.dequantise(codes, values, self._levels(set(codes.unique().tolist())) if spreads else None)

    def _with_steps(self, codes: torch.Tensor) -> Grid:
        """Return the present grid; other latents show the step of rows whose weights all have one code."""
        grid = self.read()
        unknown = (grid.scale == 0) & (codes != grid.codes)
        if not grid.even or not bool(unknown.any()):
            return grid
        steps = [grid.scale]
        for seed in range(_TRIED if self._places and self.latent is not None else 0):
            with self._spread(seed, 10.0**seed):
                seen, other = self._run()
                found = None if other is None else self._on(seen, other)
            steps += [] if found is None else [found.scale]
        each = torch.stack(steps)
        each = each.where(each != 0, torch.nan)
        step = each.nanmean(0)
        learned = ((each / step - 1).abs().nan_to_num() < _SMALL).all(0) & step.isfinite()
        if bool((unknown & ~learned).any()):
            raise InputError(grids.NOT_IN_USE)
        scale = torch.where(grid.scale == 0, step, grid.scale)
        offset = None if grid.offset is None else grid.offset - (scale - grid.scale) * grid.codes
        return replace(grid, scale=scale, offset=offset)

    def _levels(self, asked: set[int]) -> dict[int, float]:
        """Return uneven levels by their codes, in one unit, from latents of other sizes."""
        known: dict[int, float] = {}
        for seed in range(_DRAWS):
            with self._spread(seed), contextlib.suppress(InputError):
                found = self.read().relative(self.values())
                # Each reading has the unit of its largest level.
                shared = max(known.keys() & found.keys(), key=lambda code: abs(found[code]), default=0)
                unit = known[shared] / found[shared] if known.get(shared) else 1.0
                known |= {code: level * unit for code, level in found.items()}
            if asked <= known.keys():
                break
        return known

    @contextlib.contextmanager
    def _spread(self, seed: int = 0, size: float = 1.0) -> Iterator[None]:
        """Give the latents all sizes in this context, also 0, so that all levels are in use."""
        assert self.latent is not None
        power = 3 + 2 * (seed % 4)  # high powers have more sizes
        random = torch.Generator().manual_seed(seed)
        drawn = torch.randn(self.shape.numel(), generator=random) ** power
        drawn[1::2] = -drawn[: len(drawn) // 2 * 2 : 2]  # both signs of the largest
        drawn[drawn.abs() < _SMALL ** (power // 3)] = 0
        drawn = drawn[torch.randperm(len(drawn), generator=random)]  # no row of such a pair alone
        with kept(self.latent) as data:
            data.copy_(drawn.reshape(self.shape) * size * (float(data.abs().mean()) or 1.0))
            yield

    def widened(self) -> CodeReader:
        """Return a reader that knows the levels of latents of all sizes, or this one if there is none."""
        assert self.grid is not None
        if not self._places and self.grid.levels > 1:
            return self
        with contextlib.suppress(Exception):  # of a quantiser that does not bear other latents
            with self._spread():
                seen, codes = self._run()
                if self.grid.even and codes is not None and self._on(seen, codes) is not None:
                    return self
                wide = CodeReader(self.values, self.shape, self.latent, (), self.stops)
            shows = wide._places or not self._places
            if wide.grid is not None and wide.grid.levels >= self.grid.levels and shows:
                if self.grid.levels > 1:
                    wide.read()
                return wide
        return self

    def _possible(self, grid: Grid) -> int:
        """Return the number of values that a weight can take, of one row if rows have zero points."""
        if not grid.even or not self._places:
            return grid.levels
        spread, spacing = _span(grid)
        if spacing == 2:
            return spread // 2 + 1
        widths = [abs(high - low) for low, high in pairwise(self._limits)]
        return int(([spread] + [one for one in widths if spread <= one < _MOST and one % 1 == 0])[-1]) + 1

    def drawn(self) -> bool:
        """Return whether codes are drawn at random in each forward pass, as by stochastic rounding."""
        if not self._random:
            return False
        codes = []
        for seed in range(2):
            with torch.random.fork_rng(range(torch.cuda.device_count())):
                torch.manual_seed(seed)
                codes.append(self.codes())
        return not torch.equal(*codes)

    def unsure(self) -> bool:
        """Return whether values alone do not show the codes: rows are short, or have different levels."""
        if self._places or self.grid is None:
            return False
        spread, spacing = _span(self.grid)
        count = spread // spacing + 1  # levels between the outermost, also those that are not in use
        rows = grids.rows_of(self.grid.codes, self.grid.sharing)
        return count > _FEW and (rows.shape[1] <= 2 * count or (len(rows) > 1 and not self.grid.even))

    def _run(self, stops: bool = False) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return the values, unless it stops, and the codes; no codes if the quantiser takes another way."""
        places = [*self._places, *self._guards] if self._places else []
        mode, seen = Integers(self.shape, places, (), stops), None
        hears = mode if self._places else contextlib.nullcontext()
        with contextlib.suppress(Decided), torch.no_grad(), eager(), hears:
            seen = self.values()
        known = len(mode.heard) == len(places) > 0
        known = known and all(bool((mode.heard[at] == one).all()) for at, one in self._guards.items())
        codes = self._code([mode.heard[place] for place in self._places]) if known else None
        return seen, codes if codes is None or self._code is first else narrowed(codes)

    def _again(self) -> Grid:
        kept, before = dict(vars(self)), self.grid
        found = self._search()
        if found is not None and before is not None and before.even and not found.even:
            with torch.no_grad():  # ranks of three levels may be even codes
                found = grids.linear(self.values(), found.codes, found.sharing, self.latent) or found
        self.grid = found
        if found is None or before is None or found.even != before.even or not self._places:
            vars(self).update(kept)  # so that the next reading fails too, or reads the codes as before
            with torch.no_grad():
                finite = bool(self.values().isfinite().all())
            if not finite:
                raise InputError("the values of a weight are not finite: the run has diverged")
            raise CodesLost(
                "the quantiser of a weight now computes its codes in another way, so that they cannot be "
                "known: give `codes`"
            )
        if not found.even and (self._code is not kept["_code"] or self._places != kept["_places"]):
            vars(self).update(kept)
            raise CodesLost(
                "a weight takes a level that none had before, and codes of uneven levels are their ranks: "
                "give `codes`"
            )
        return found

    def _search(self) -> Grid | None:
        mode = Integers(self.shape, (), self.sources)
        with torch.enable_grad(), eager(), mode:  # gradients show what is learned
            seen = self.values()
        seen = seen.detach()  # outside of the mode, as a reading has no such operation
        if not seen.numel() or not bool(seen.isfinite().all()):
            return None
        self._random = mode.random
        self._limits, self.origin = mode.limits, mode.origins.get(home(seen), frozenset())
        asked = {at: one for at, one in mode.heard.items() if at[1] in _ASK}
        self._guards = {at: int(one.min()) for at, one in asked.items() if int(one.min()) == int(one.max())}
        if (
            self._places
            and set(self._places) <= mode.heard.keys()
            and not (self.grid is None or self.grid.even)
        ):
            codes = self._code([mode.heard[at] for at in self._places])
            if codes is not None:
                grid = grids.uneven(seen, narrowed(codes), self.grid.sharing, self.latent)
                if grid is not None:  # the ranks of the levels stay
                    return grid
        heard: dict[Place, torch.Tensor] = {}  # the last decisions, the last one first
        for place, codes in reversed(mode.heard.items()):
            known = len(heard) == _LAST or any(torch.equal(codes, one) for one in heard.values())
            if not known and int(codes.min()) < int(codes.max()):
                heard[place] = codes
        for offset in (False, True):
            for place, codes in heard.items():
                # Two codes fit any two values, so that they show nothing.
                shows = not offset or codes.unique().numel() > 2
                numbers = mode.floats.get(place, codes)
                for sharing in grids.ways(seen) if shows else ():
                    grid = grids.linear(seen, numbers, sharing, self.latent, offset)
                    if grid is not None and numbers is not codes:
                        grid = grids.uneven(seen, codes, sharing, self.latent)
                    if grid is not None:
                        self._places, self._code = [place], first
                        for cause, bit in mode.heard.items():  # known earlier than the ±1 made of it
                            if cause[1] in ("ge", "gt") and torch.equal(2 * bit - 1, codes):
                                self._places, self._code = [cause], signs
                        return grid
        last = list(heard)
        joined = [last[:count] for count in range(2, min(len(last), _JOINED) + 1)]
        for places in [[one] for one in last] + joined:
            found = grids.joined(seen, [heard[one] for one in places], self.latent)
            if found is None:
                continue
            # Decisions that are not needed would make combinations that were not seen before.
            for one in sorted(places, key=lambda place: -heard[place].unique().numel()):
                fewer = [other for other in places if other != one]
                less = grids.joined(seen, [heard[other] for other in fewer], self.latent) if fewer else None
                places, found = (places, found) if less is None else (fewer, less)
            self._places, (self._code, grid) = places, found
            return grid
        self._places = []
        return grids.find_grid(seen, self.latent)


def eager() -> contextlib.AbstractContextManager[Any]:
    set_stance = getattr(torch.compiler, "set_stance", None)  # since PyTorch 2.6
    return contextlib.nullcontext() if set_stance is None else set_stance("force_eager")
