"""Find quantised weights in any model: intercept its layers, count levels, follow the graph to the latents.

A mode of PyTorch intercepts every call of linear, conv, embedding and matrix products. It does not change the
model, and needs to know no framework. `weights` joins the result with that of the adaptors.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from sterling.errors import InputError, SterlingError
from sterling.torch.grids import find_grid
from sterling.torch.handle import QuantisedWeight, holders, names_of, on_grid
from sterling.torch.hooks import warned
from sterling.torch.rounding import CodeReader, CodesLost, eager, home

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
#: Functions and the index of their weight among the arguments; the modules call these.
WEIGHT_ARGUMENT = {
    **dict.fromkeys((F.linear, F.embedding, F.embedding_bag, *_CONVOLUTIONS), 1),
    F.bilinear: 2,
}
#: Products of layers written by hand, in which either factor may be a weight.
PRODUCTS = frozenset(
    (
        *(torch.matmul, torch.mm, torch.mv, torch.bmm, torch.addmm, torch.baddbmm, torch.inner),
        *(torch.einsum, torch.tensordot, torch.Tensor.matmul, torch.Tensor.mm, torch.Tensor.mv),
        *(torch.Tensor.bmm, torch.Tensor.addmm, torch.Tensor.baddbmm, torch.Tensor.inner),
        *(torch.Tensor.__matmul__, torch.Tensor.__rmatmul__, torch.linalg.multi_dot, torch.chain_matmul),
    )
)
#: Names of functions that multiply by a matrix, or, as `linear`, by its transpose.
_MATRICES = ("linear", "matmul", "mm", "addmm", "__matmul__", "__rmatmul__")
#: Their weights come third and fourth, or in a list.
_RECURRENT = frozenset(
    (
        *(torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu),
        *(torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell),
    )
)
_ATTENTION = {"in_proj_weight": 5, "out_proj_weight": 11}  # of F.multi_head_attention_forward
_TURNS = ("TBackward", "TransposeBackward", "PermuteBackward")
_ROTATION = 8  # least number of rows of a matrix that is no rotation by chance
_ENOUGH = 4  # least number of weights per level if the parameter itself is on levels

Call = tuple[tuple[Any, ...], dict[str, Any]]


class Taps(TorchFunctionMode):
    """Passes each weight of a layer to a listener, which may return a tensor to use instead."""

    def __init__(self, listener: Callable[[torch.Tensor], torch.Tensor | None]):
        super().__init__()
        self.listener = listener
        self.function: Any = None  # that is called with the weight

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.function, kwargs = func, kwargs or {}
        for weight in _weights(func, args, kwargs):
            other = self.listener(weight)
            if other is not None:
                args = tuple(_replaced(one, weight, other) for one in args)
                kwargs = {name: _replaced(one, weight, other) for name, one in kwargs.items()}
        return func(*args, **kwargs)


def _replaced(given: Any, weight: torch.Tensor, other: torch.Tensor) -> Any:
    if given is weight:
        return other
    if type(given) in (list, tuple):
        return type(given)(_replaced(one, weight, other) for one in given)
    return given._replace(value=other) if getattr(given, "value", None) is weight else given


def _weights(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    if func in WEIGHT_ARGUMENT:
        index = WEIGHT_ARGUMENT[func]
        found = [args[index] if len(args) > index else kwargs.get("weight")]
    elif func is F.multi_head_attention_forward:
        found = [args[n] if len(args) > n else kwargs.get(name) for name, n in _ATTENTION.items()]
    elif func in PRODUCTS:
        found = tree_leaves([args, kwargs])
    elif func in _RECURRENT:
        found = tree_leaves([one for one in args[2:] if isinstance(one, list | torch.Tensor)])
    else:
        return
    for one in found:
        value = getattr(one, "value", one)  # Brevitas wraps a tensor with its scale
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim > 1:
            yield value


@dataclass(frozen=True, eq=False)
class Tap:
    """A weight that a layer was called with."""

    owner: nn.Module  # the innermost running module that was not given it
    order: int  # number of weights heard before it since the owner was called
    call: Call  # arguments of the owner
    value: torch.Tensor  # the weight, with its graph
    cut: bool = False  # whether the layer was called with a part of it
    function: Any = None  # of PyTorch, that was called with it
    alone: bool = True  # whether the owner uses no other weight
    latent: Any = None  # that the weight must come from, if it is not alone


@contextlib.contextmanager
def watched(model: nn.Module) -> Iterator[list[list[Any]]]:
    """Yield the running modules, the innermost last: each with its arguments, and a count for the user."""
    running: list[list[Any]] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        running.append([module, (args, kwargs), 0])

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        running.pop()

    with contextlib.ExitStack() as stack:
        for module in model.modules():
            stack.callback(module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)
        stack.enter_context(undisturbed(model, parameters=True))
        stack.enter_context(torch.enable_grad())
        yield running


def listen(model: nn.Module, example: Any) -> list[Tap]:
    """Run the model on the example once; return the weights of its layers, with graphs to frozen ones too."""
    taps: list[tuple[Tap, list[Any]]] = []

    def hear(weight: torch.Tensor) -> None:
        nodes = set(() if weight.grad_fn is None else upstream([weight.grad_fn]))
        makes = [one for one in running if not _is_given(weight, nodes, one[1])]
        place = (makes or running)[-1]
        owner, call, before = place
        # A product inside a parametrisation computes a weight: it is no layer.
        if not any(isinstance(one[0], ParametrizationList) for one in running):
            cut = _is_cut(weight)
            whole = _base(weight) if cut else weight
            taps.append((Tap(owner, before, call, whole, cut, heard.function), place))
        for one in running:
            one[2] += 1

    with watched(model) as running:
        args, kwargs = arguments(example)
        with running_the_example(), Taps(hear) as heard:
            model(*args, **kwargs)
    return [replace(tap, alone=place[2] == 1) for tap, place in taps]


def _is_given(weight: torch.Tensor, nodes: set[Any], call: Call) -> bool:
    """Return whether a weight is among the arguments of a module, or is computed from one of them."""
    given = [one for one in tree_leaves(call) if isinstance(one, torch.Tensor)]
    return any(home(one) == home(weight) or one.grad_fn in nodes for one in given)


def _base(weight: torch.Tensor) -> torch.Tensor:
    return weight if weight._base is None else weight._base


def _is_cut(weight: torch.Tensor) -> bool:
    """Return whether a weight is a part of one of its latents' size, as that of one expert of several."""
    base = _base(weight)
    if base.numel() <= weight.numel():
        return False
    sizes = {one.numel() for one in leaves_of(weight) if isinstance(one, nn.Parameter)}
    return base.numel() in sizes and weight.numel() not in sizes


class _Heard(BaseException):
    """Ends a forward pass once the weight is known; no handler in the model should catch it."""

    def __init__(self, weight: torch.Tensor):
        self.weight = weight


def hear_again(tap: Tap) -> torch.Tensor:
    """Return the present weight of a tap, with its graph if gradients are on."""
    order, learns, latent = itertools.count(), torch.is_grad_enabled(), tap.latent
    told = latent is not None and latent.requires_grad  # the graph tells whether it is the same weight

    def hear(weight: torch.Tensor) -> None:
        if next(order) == tap.order:
            raise _Heard(weight)

    args, kwargs = tap.call
    try:
        with undisturbed(tap.owner), torch.set_grad_enabled(learns or told), Taps(hear):
            tap.owner(*args, **kwargs)
    except _Heard as heard:
        weight = _base(heard.weight) if tap.cut else heard.weight
        if not told or any(one is latent for one in leaves_of(weight)):
            return weight if learns else weight.detach()
    raise CodesLost(
        f"a layer of the type {type(tap.owner).__name__} does not use the weight that was found in it at all "
        "times: give `codes`"
    )


def discover(
    model: nn.Module, taps: Iterable[Tap], known: Collection[int] = (), framework: str = "discovery"
) -> list[QuantisedWeight]:
    """Return handles of the quantised weights among those of layers, without those of known latents."""
    names = {latent: places for latent, places in names_of(model).items() if latent not in known}
    # Codes are saved with the model: a buffer that is not is a constant.
    pairs = ((one._buffers, name) for one in model.modules() for name in one._non_persistent_buffers_set)
    saved = names.keys() - {id(held[name]) for held, name in pairs}
    tensors = [one for one in (*model.buffers(), *model.parameters()) if id(one) in saved]
    handles: dict[int, QuantisedWeight] = {}
    refused: list[InputError] = []
    for tap in taps:
        try:
            handle = _handle(tap, names, tensors, framework, handles)
        except InputError as problem:
            refused.append(problem)
            continue
        if handle is not None:
            first = handles.setdefault(id(handle.latent), handle)
            first.modules = tuple(dict.fromkeys((*first.modules, tap.owner)))
            first.turned = handle.turned if handle.turned == first.turned else None
    if refused and not handles and not known:
        raise refused[0]
    for problem in refused:
        warned(f"a weight is left out: {problem}")
    return list(handles.values())


def _handle(
    tap: Tap, names: dict[int, list[str]], tensors: list[torch.Tensor], framework: str, known: Collection[int]
) -> QuantisedWeight | None:
    """Return a handle of the weight of a tap; None if it is on no levels, or its origin has no name.

    Also None if values that are computed from a known weight do not show their codes, as those of a rotation.
    """
    size, leaves = tap.value.numel(), leaves_of(tap.value)
    if not size:
        return None
    # Latents are the leaf of the weight's size. Without one, the origin of the values is traced.
    fit: list[Any] = [one for one in leaves if isinstance(one, nn.Parameter) and one.numel() == size]
    larger = [] if fit else [one for one in leaves if one.requires_grad and one.numel() >= size]
    if larger or (fit and id(fit[0]) not in names):
        stacks = [one for one in larger if one.shape[1:] == tap.value.shape and id(one) in names]
        if stacks and find_grid(tap.value):
            name = names[id(stacks[0])][0]
            warned(f"slices of {name!r} are quantised one by one, so that none is read: give `codes`")
        return None
    latent: Any = fit[0] if fit else None
    turned, shape = bool(fit) and is_turned(tap.value, latent), fit[0].shape if fit else tap.value.shape
    lean = replace(_lean(tap), latent=None if tap.alone else latent)
    given = [] if fit else [one for one in tree_leaves(lean.call) if isinstance(one, torch.Tensor)]
    sources = [] if fit else [*tensors, *given]

    def read() -> torch.Tensor:
        return like(hear_again(lean), shape, turned)

    reader = CodeReader(read, shape, latent, sources, tap.alone)
    if reader.grid is None or reader.origin & {id(one) for one in given}:  # given: an activation
        return None
    stored = tap.value is latent
    if latent is None:
        held = [one for one in tensors if id(one) in reader.origin]
        own = {id(one) for one in tap.owner.parameters() if one.is_floating_point()}
        fit = [one for one in held if id(one) in own and one.numel() == size]  # latents without a gradient
        if fit:
            turned, shape = is_turned(tap.value, fit[0]), fit[0].shape
            reader = CodeReader(read, shape, None, sources, tap.alone)
            if reader.grid is None:
                return None
        else:
            buffers = [one for one in held if not (one.is_floating_point() and isinstance(one, nn.Parameter))]
            fit, stored = holders(buffers, size), True
            fit = [one for one in fit if not one.is_floating_point()] or fit
        if not fit or _is_rotation(tap.value):
            return None
        latent = fit[0]
        if len(fit) > 1:
            raise InputError(
                f"the codes of a {type(tap.owner).__name__} come from {len(fit)} tensors, among them "
                f"{names[id(latent)][0]!r}: give `codes`, with a function for the one that holds them"
            )
    elif torch.equal(like(tap.value, shape, turned), latent):
        if reader.levels < 2:  # as after an initialisation with zeros: other latents show a quantiser
            reader = reader.widened()
        if reader.levels < 2 or size < _ENOUGH * reader.levels or _is_rotation(latent):
            return None
    elif framework == "discovery":
        reader = reader.widened()
    if id(latent) in known and reader.unsure():
        return None
    places = names[id(latent)]
    factors = [one for one in leaves if one.requires_grad and one is not latent]
    rest = {"stored": stored, "name": places[0], "modules": (tap.owner,), "places": places}
    weight = on_grid(reader, latent, framework, factors=factors, **rest)
    if tap.function.__name__ in _MATRICES:
        weight.turned = turned or tap.function is F.linear
    return weight


def _is_rotation(value: torch.Tensor) -> bool:
    """Return whether rows are orthogonal and of one length, as Hadamard's or a convolution's that copies."""
    matrix = value.detach().flatten(1).double()
    length = matrix[:1].norm()
    if not _ROTATION <= len(matrix) <= matrix.shape[1] or not bool(length):
        return False
    probe, matrix = torch.linspace(-1, 1, len(matrix)).to(matrix), matrix / length
    return torch.allclose(matrix @ (matrix.t() @ probe), probe, atol=1e-4)


def is_turned(value: torch.Tensor, latent: torch.Tensor) -> bool:
    """Return whether the weight is the transpose of its latents, as in a product written by hand."""
    if value.ndim != 2 or value.t().shape != latent.shape:
        return False
    if value.shape != latent.shape:
        return True
    # Values follow their latents, unless the matrix is symmetric; then the graph may show a transpose.
    plain, turned = (float((one * latent).detach().sum().abs()) for one in (value, value.t()))
    if max(plain, turned) > 2 * min(plain, turned):
        return turned > plain
    return type(value.grad_fn).__name__.startswith(_TURNS)


def like(value: torch.Tensor, shape: torch.Size, turned: bool) -> torch.Tensor:
    """Return a weight in the shape of its latents."""
    return (value.t() if turned else value).reshape(shape)


def _lean(tap: Tap) -> Tap:
    """Return the tap without its graph, and with one sample of its inputs if that gives the same weight."""
    value = tap.value.detach().clone()
    call = tree_map_only(torch.Tensor, lambda one: one.detach(), tap.call)
    first = tree_map_only(torch.Tensor, lambda one: one[:1].clone() if one.ndim > 1 else one, call)
    lean = replace(tap, call=first, value=value)
    with contextlib.suppress(Exception), torch.no_grad():
        if torch.equal(hear_again(lean), value):
            return lean
    return replace(tap, call=call, value=value)


def leaves_of(value: torch.Tensor) -> list[torch.Tensor]:
    """Return the leaves of a tensor's graph, nearest first; a leaf gives itself."""
    if value.grad_fn is None:
        return [value]
    return [node.variable for node in upstream([value.grad_fn]) if hasattr(node, "variable")]


def upstream(nodes: Iterable[Any]) -> list[Any]:
    """Return these nodes of a graph, and all from which they are computed, nearest first."""
    nodes = list(nodes)
    seen = set(nodes)
    for node in nodes:  # the list grows
        for inner, _ in node.next_functions:
            if inner is not None and inner not in seen:
                seen.add(inner)
                nodes.append(inner)
    return nodes


def arguments(example: Any) -> Call:
    """Return positional and named arguments: of a tensor, a tuple, or a mapping of names."""
    if isinstance(example, Mapping):
        return (), dict(example)
    return (tuple(example) if isinstance(example, tuple | list) else (example,)), {}


@contextlib.contextmanager
def in_one_sentence(what: str, advice: str) -> Iterator[None]:
    """Turn any error of the user's code or data into one sentence."""
    try:
        yield
    except SterlingError:
        raise
    except (Exception, SystemExit) as problem:
        words = " ".join(str(problem).split())[:200]
        raise InputError(f"{what} ({type(problem).__name__}: {words}); {advice}") from problem


@contextlib.contextmanager
def running_the_example() -> Iterator[None]:
    """Turn an error of the model on its example into one sentence."""
    advice = "give its arguments: a tensor, a tuple of arguments, or a dict of named ones"
    with in_one_sentence("the model cannot be run on the example", advice):
        try:
            yield
        except ValueError as problem:
            if "per channel when training" not in str(problem):  # the words of PyTorch's batch norm
                raise
            raise InputError(
                "the model cannot be run on the example, because its normalisation in training mode needs "
                "more than one row: give an example of two or more rows, or call model.eval() first"
            ) from problem


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the user's module inside a compiled or distributed one."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


@contextlib.contextmanager
def undisturbed(module: nn.Module, parameters: bool = False) -> Iterator[None]:
    """Compile nothing in this context; at its end restore buffers, plain numbers and the random state.

    With ``parameters`` all require gradients, and get their values back too. Without, numbers stay if
    parameters were written: one may say that a scale has had its first value.
    """
    modules, trained = list(module.modules()), list(module.parameters())
    buffers = [(one, *pair) for one in modules for pair in one._buffers.items()]
    copies: list[Any] = [None if kept is None else kept.detach().clone() for *_, kept in buffers]
    weights = [(one, one.requires_grad, one.detach().clone()) for one in trained if parameters]
    plain = (bool, int, float)
    numbers = [(one, {k: v for k, v in vars(one).items() if type(v) in plain}) for one in modules]
    written = [(one, one._version) for one in trained if not one.is_inference()]
    devices = {one.device.index for one in trained if one.device.type == "cuda"}
    with torch.random.fork_rng(devices=devices), eager():
        try:
            for one, _, _ in weights:
                if one.is_floating_point():
                    one.requires_grad_(True)
            yield
        finally:
            for (one, name, kept), copy in zip(buffers, copies, strict=True):
                one._buffers[name] = kept
                if kept is not None and kept.shape != copy.shape:  # as by observers of torch.ao
                    kept.data = copy
                elif kept is not None and not torch.equal(kept, copy):  # a graph may hold the buffer
                    kept.detach().copy_(copy)
            if parameters or all(one._version == version for one, version in written):
                for one, kept in numbers:
                    vars(one).update(kept)
            for one, needs, copy in weights:
                one.data.copy_(copy)
                one.requires_grad_(needs)
