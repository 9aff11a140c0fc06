"""The quantised activations of a model, found in the graph of a forward pass.

A tensor counts as quantised if its values are on levels, and rounding arithmetic on single entries made them
from values on more levels. That arithmetic is the quantiser, and those values are its input.
"""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import GradientEdge
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map_only

from sterling.torch.grids import Grid, find_grid
from sterling.torch.probes import Slopes, diagonal, kind
from sterling.torch.taps import arguments, in_one_sentence, running_the_example, upstream, watched

# Kinds of nodes of the graph.
_ROUNDING = {"Ceil", "Floor", "Round", "Sgn", "Sign", "Trunc"}
_ARITHMETIC = {"Abs", "Add", "Clamp", "ClampMax", "ClampMin", "Div", "Maximum", "Minimum", "Mul", "Neg"}
_ARITHMETIC |= {"Alias", "Clone", "Reshape", "Rsub", "Squeeze", "Sub", "ToCopy", "UnsafeView", "Unsqueeze"}
_ARITHMETIC |= {"Hardtanh", "View", "Where", *_ROUNDING}
_LOOKUP = {"Embedding", "EmbeddingBag", "Gather", "Index", "IndexSelect"}  # of integer inputs
_LAYERS = frozenset(one for one in vars(F).values() if callable(one))
_PIECE = 1 << 18  # entries of which the levels are read

Edge = tuple[Any, int]  # a node of the graph, and the number of its output


@dataclass(frozen=True, eq=False)
class QuantisedActivation:
    """A quantised tensor of a forward pass, and the input of its quantiser."""

    name: str  # of the module that uses it
    count: int  # its entries
    no_gradient: float | None  # share of all slopes that are 0
    values: torch.Tensor  # the first ones, as in all that follow
    before: torch.Tensor  # the input; the values if it is not known
    slopes: Slopes  # of the values by the input
    trained: bool  # whether a trained parameter needs the gradient
    grid: Grid


def quantised_activations(model: nn.Module, example: Any) -> list[QuantisedActivation]:
    """Run the model on the example once; return its quantised activations in the order of their use."""
    names = {id(one): name for name, one in model.named_modules()}
    trained = {id(one) for one in model.parameters() if one.requires_grad}
    inputs: list[torch.Tensor] = []

    def with_graph(given: torch.Tensor) -> torch.Tensor:
        if not given.is_floating_point():
            return given
        inputs.append(given.detach().clone().requires_grad_())
        return inputs[-1].clone()  # a model may write into its inputs, but not into leaves

    with contextlib.ExitStack() as stack:
        for module in model.modules():
            stack.callback(module.__dict__.update, dict(module.__dict__))  # counters and last scales
        running = stack.enter_context(watched(model))
        recorder = _Recorder(lambda: names[id(running[-1][0])] if running else "")
        args, kwargs = tree_map_only(torch.Tensor, with_graph, arguments(example))
        with running_the_example(), recorder:
            result = model(*args, **kwargs)
        reached = set(upstream({node for (node, _), _ in _edges(result, scalars=True)}))
        advice = "audit the model without checkpoints of activations"
        with in_one_sentence("the gradients of its activations cannot be computed", advice):
            return list(_found(recorder, reached, set(map(id, inputs)), trained))[::-1]


class _Recorder(TorchFunctionMode):
    """Keeps the tensors of a forward pass by their edges, with the module that uses each first."""

    def __init__(self, running: Callable[[], str]):
        super().__init__()
        self.running = running
        self.made: dict[Edge, torch.Tensor] = {}
        self.used: dict[Edge, tuple[torch.Tensor, str]] = {}
        self.layers: set[Any] = set()  # nodes of layers, such as dropout, which are no arithmetic

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for edge, one in _edges((args, kwargs)):
            self.used.setdefault(edge, (one, self.running()))
            self.made.setdefault(edge, one)
        result = func(*args, **kwargs)
        for edge, one in _edges(result):
            self.made[edge] = one
            if func in _LAYERS and kind(edge[0]) != "Hardtanh":  # also ReLU6: a clamp
                self.layers.add(edge[0])
        return result


def _edges(values: Any, scalars: bool = False) -> Iterator[tuple[Edge, torch.Tensor]]:
    for one in tree_iter(values):
        if isinstance(one, torch.Tensor) and one.grad_fn is not None and (one.ndim or scalars):
            yield (one.grad_fn, one.output_nr), one


def _found(
    recorder: _Recorder, reached: set[Any], inputs: set[int], trained: set[int]
) -> Iterator[QuantisedActivation]:
    """Yield the quantised activations, the last first, so that a quantiser's result precedes its parts."""
    parts: set[Any] = set()
    for edge, (values, name) in reversed(recorder.used.items()):
        source, passed = _input_of(edge, values.numel(), recorder.layers)
        if edge[0] not in reached or edge[0] in parts or not any(map(_rounds, passed)):
            continue
        origins = upstream([source[0]])
        leaves = {id(one.variable) for one in origins if hasattr(one, "variable")}
        if not leaves & inputs and not any(kind(one) in _LOOKUP for one in origins):
            continue  # a weight
        before = getattr(source[0], "variable", recorder.made.get(source))  # a leaf: an input
        seen, given = _some(values), None if before is None else _some(before.reshape(values.shape))
        grid = find_grid(seen, given)
        if grid is None or (given is not None and given.unique().numel() <= seen.unique().numel()):
            continue
        parts.update(set(upstream([edge[0]])) - set(origins))  # also scales and zero points
        slopes = diagonal(values, GradientEdge(*source))
        part = replace(slopes, own=_some(slopes.own), alone=_some(slopes.alone))
        given = seen if given is None else given
        needed = bool(leaves & trained)
        yield QuantisedActivation(name, values.numel(), slopes.none, seen, given, part, needed, grid)


def _some(values: torch.Tensor) -> torch.Tensor:
    """Return the first entries, with a row for each token."""
    rows = values.detach().flatten(0, -2) if values.ndim > 2 else values.detach()
    return rows[: -(-_PIECE // rows.shape[-1])] if rows.ndim > 1 else rows[:_PIECE]


def _input_of(edge: Edge, size: int, layers: set[Any]) -> tuple[Edge, list[Any]]:
    """Return the edge from which arithmetic on single entries leads to this one, and its nodes between."""
    heap, known, passed = [(0, 0, edge)], {edge}, []
    source, count = edge, 0
    while heap:
        *_, (node, output) = heapq.heappop(heap)  # the latest
        if not heap:  # so all paths go through it
            source, count = (node, output), len(passed)
        if node in layers or not (kind(node) in _ARITHMETIC or _rounds(node)):
            break
        passed.append(node)
        for inner, number in node.next_functions:
            if inner is None or (inner, number) in known:
                continue
            if math.prod(inner._input_metadata[number].shape) == size:
                known.add((inner, number))
                time = -1 if hasattr(inner, "variable") else inner._sequence_nr()
                heapq.heappush(heap, (-time, len(known), (inner, number)))
    return source, passed[:count]


def _rounds(node: Any) -> bool:
    """Return whether a node may round: also a function of the user, or a sum with values without a graph."""
    name = kind(node)
    if name in ("Add", "Sub"):
        return any(inner is None for inner, _ in node.next_functions)
    return name in _ROUNDING or name.startswith("FakeQuantize") or isinstance(node, BackwardCFunction)
