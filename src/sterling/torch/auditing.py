"""`audit`: what each quantiser of a model does to its latents, or to the activations.

`weights` and `activations` find the tensors, and `probes` tests them. This module judges, and `audit_report`
shows the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sterling.base.checks import shown
from sterling.base.text import number
from sterling.errors import InputError, InputTypeError
from sterling.torch import probes
from sterling.torch.activations import quantised_activations
from sterling.torch.audit_report import Audit, AuditFinding, TensorAudit
from sterling.torch.clamps import ClampGradient, present_gradient
from sterling.torch.handle import QuantisedWeight, on_grid
from sterling.torch.hooks import groups_of
from sterling.torch.probes import BOUND, CLAMP, DEAD, NONE, TAIL, Slopes
from sterling.torch.rounding import CodeReader
from sterling.torch.tables import readable
from sterling.torch.taps import in_one_sentence, undisturbed, unwrapped
from sterling.torch.weights import Codes, NothingFound, find

NOTABLE = 0.01  # least share of weights without gradient that is a defect
BY_DESIGN = 0.02  # largest tail that a grid clips by design
LEARNED = 1 / 3  # largest tail beyond a learned range that is by design
_WINDOW = 0.5  # largest tail of a binary activation, whose surrogate is a window
_TINY = 1e-6  # a latent next to 0, in units of the largest one

WHY = {
    CLAMP: "it clamps rounded values, and the gradient of the clamp is 0 at its bounds, so all on an "
    "outermost level are cut off: clamp before rounding, or let the gradient pass the clamp",
    TAIL: "values far from zero are cut off, and latents there come back only by decay: widen the range, "
    "clip the latents to it, or use the identity as surrogate",
    DEAD: "values near zero are cut off, and a weight that gets there stays: let the gradient pass there too",
    NONE: "the quantiser has no straight-through gradient, so nothing is learnt: give it one",
    BOUND: "they are exactly on a bound of it: let the gradient pass there",
    probes.OTHER: "the slope of the quantiser is 0 there",
}


def audit(
    model: nn.Module | Callable[..., Any],
    example: Any = None,
    codes: Codes | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> Audit:
    """Report what the quantisers of a model do to weights and activations, and what is wrong with them.

    `audit` tests each quantiser of weights on the present latents, on a ramp and on zeros, and with an
    example those of activations, on the example. A clamp, hardtanh or ReLU6 just before rounding
    is a part of the quantiser. It does not change the model. Findings are defects or notes: frozen weights,
    and tails of at most 2 % that a grid clips by design, are notes. If a trained parameter sets the range of
    the weights (LSQ), tails of at most one third are notes, since they come back when the range grows.

    Parameters
    ----------
    model : Module or callable
        A model with quantised weights of any framework, or a single quantiser: a function or module from a
        tensor of latents to one of weights, or to a tuple that begins with it.
    example : Tensor, tuple or dict, optional
        Arguments for the model, to find activations, and weights of unknown quantisers. For a single
        quantiser: latents; by default Gaussian ones of standard deviation 0.1.
    codes : function of (name, parameter), or dict of functions, optional
        For quantisers that `find` does not know; see `find`.
    optimizer : Optimizer, optional
        The optimiser; the audit checks that it moves the latents. PARQ needs it.

    Returns
    -------
    Audit
        `frame` has the numbers, `findings` the sentences.

    Raises
    ------
    InputError
        If no quantised tensor is found, or the model cannot be run on the example.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> def no_gradient(w):
    ...     return w.sign() * w.abs().mean().detach()
    >>> stt.audit(no_gradient).frame()["why"].to_list()
    ['no gradient at all']
    """
    if not callable(model):
        raise InputTypeError(f"model is {shown(model)}; give a torch.nn.Module or a quantiser")
    # A module without a matrix of parameters is a quantiser, not a model.
    if not isinstance(model, nn.Module) or not (codes or any(one.ndim > 1 for one in model.parameters())):
        with undisturbed(model) if isinstance(model, nn.Module) else nullcontext():
            return Audit([_of_weight(_handle(model, example))])
    rows = [] if example is None else _of_activations(unwrapped(model), example)
    weights = []
    with suppress(NothingFound) if rows else nullcontext():
        weights = find(model, example, codes, optimizer)
    return Audit([_of_weight(weight, optimizer) for weight in weights] + rows)


def _handle(quantiser: Callable[..., Any], example: Any) -> QuantisedWeight:
    if example is None:
        example = 0.1 * torch.randn(64, 64, generator=torch.Generator().manual_seed(probes.SEED))
    real = isinstance(example, torch.Tensor) and example.is_floating_point() and example.numel()
    if not real or not bool(example.isfinite().all()):
        raise InputError(
            f"example is {shown(example)}; for a single quantiser give a tensor of finite latents"
        )
    latent = nn.Parameter(example.detach().clone())

    def values() -> torch.Tensor:
        found = quantiser(latent)
        found = found[0] if isinstance(found, tuple) else found
        return getattr(found, "value", found)

    advice = "give a function from latents to weights, and latents as example"
    with in_one_sentence("the quantiser cannot be called on a tensor", advice), torch.enable_grad():
        seen = values()
    if not isinstance(seen, torch.Tensor) or seen.shape != latent.shape or not seen.is_floating_point():
        raise InputError("the quantiser must return a floating-point tensor of the latents' shape")
    reader = CodeReader(values, latent.shape, latent)
    if reader.grid is None:
        raise InputError("the quantiser returns values that are on no levels that it rounds to")
    return on_grid(reader.widened(), latent, "callable", name="quantiser")


def _of_weight(weight: QuantisedWeight, optimizer: Any = None) -> TensorAudit:
    home = "parameter" if weight.latent.requires_grad else "frozen parameter"
    if weight.merged:
        home = "frozen base and trained factors, merged"
    row = TensorAudit(
        tensor=weight.name,
        framework=weight.framework,
        weights=weight.shape.numel(),
        levels=weight.levels,
        scale=float(weight.scale().float().mean()),
        latent={"parq": "in the state of the optimiser", "callable": "given"}.get(weight.framework, home),
        findings=list(_untried(weight)),
    )
    if row.findings:
        if weight.framework == "codes" and not weight.stored:
            row.at_zero = probes.code_at_zero(weight)
    else:
        codes, steps, sharing = weight.codes(), probes.steps_of(weight), probes.sharing_of(weight)
        now = probes.slopes(weight)
        with ClampGradient(1 - present_gradient()):
            other = probes.slopes(weight)
        row.no_gradient, row.other_clamp = now.none, other.none
        row.surrogate, row.window, levels = probes.try_ramp(weight)
        row.at_zero = probes.code_at_zero(weight)
        row.levels = max(weight.levels, levels)
        whys = [probes.reasons(each, codes, steps, sharing) for each in (now, other)]
        tail = list(whys[0]) == [TAIL] and (now.none or 0) > BY_DESIGN
        learned = tail and probes.learned_range(weight, now.own == 0)
        judged = list(_of_gradient(row, now, other, whys, learned))
        if row.levels > 1 and (weight.latent.requires_grad or weight.merged):
            row.findings = judged
        row.findings += _judged(row, weight)
    if optimizer is None:
        return row
    if weight.trained and not groups_of(weight, optimizer):
        words = "the optimizer does not hold its latents, so they never move: add them to its parameters"
        row.findings.append(AuditFinding(words, "its latents are not in the optimizer"))
    if weight.framework == "parq" and not optimizer.quant_per_channel:
        row.findings += _compared_paths(weight, optimizer.quantizer)
    return row


def _compared_paths(weight: QuantisedWeight, quantiser: Any) -> Iterator[AuditFinding]:
    """Compare ties: PARQ uses its quantiser on some steps, and the nearest target on the others."""
    latent = weight.latent.detach().clone()
    latent[(0,) * latent.ndim] = 0.0
    with torch.no_grad():
        bits = 0 if weight.levels == 3 else (weight.levels - 1).bit_length()
        direct, targets = quantiser.quantize(latent.clone(), bits)
        targets = targets.sort().values
        nearest = targets[torch.bucketize(latent, (targets[1:] + targets[:-1]) / 2)]
    first, second = float(direct.flatten()[0]), float(nearest.flatten()[0])
    if abs(first - second) > 1e-3 * float(targets.abs().max()):
        words = (
            f"ties differ between PARQ's two paths: a latent that is 0 becomes {number(first)} on steps that "
            f"update the targets and {number(second)} on the others, so it flips without moving; start from "
            "latents that are not exactly 0, or set quant_period=1"
        )
        yield AuditFinding(words, "ties differ between PARQ's two paths")


def _of_activations(model: nn.Module, example: Any) -> list[TensorAudit]:
    found = quantised_activations(model, example)
    with ClampGradient(1 - present_gradient()):
        others = quantised_activations(model, example)
    rows: list[TensorAudit] = []
    names = Counter[str]()
    for one, other in zip(found, others, strict=True):
        names[one.name] += 1
        number_of_it = f" ({names[one.name]})" if names[one.name] > 1 else ""
        codes, sharing = one.grid.codes, one.grid.sharing
        used = codes.unique().tolist()
        row = TensorAudit(
            tensor=(one.name or type(model).__name__) + number_of_it,
            framework="discovery",
            weights=one.count,
            levels=probes.levels_of(codes, sharing, used),
            scale=float(one.grid.scale.float().mean()),
            latent="activation",
            no_gradient=one.no_gradient,
            other_clamp=other.no_gradient,
            kind="activation",
        )
        steps = one.before / torch.where(one.grid.scale > 0, one.grid.scale, 1)
        row.surrogate, row.window = probes.surrogate_of(steps, one.slopes)
        # Zero, the lowest level of an unsigned grid, is the work of a rectifier if no gradient passes below.
        slope = one.slopes.own.nan_to_num()
        unsigned = min(used) == 0 and bool(slope.any()) and not bool(slope[one.before < 0].any())
        rectified = (one.values == 0) & unsigned
        now, then = (
            replace(each.slopes, own=torch.where(rectified, 1, each.slopes.own)) for each in (one, other)
        )
        whys = [probes.reasons(each, codes, steps, sharing) for each in (now, then)]
        row.findings = list(_of_gradient(row, now, then, whys))
        if row.findings and not one.trained:
            row.findings = [AuditFinding("no trained parameter comes before it, so it needs no gradient")]
        rows.append(row)
    return rows


def _untried(weight: QuantisedWeight) -> Iterator[AuditFinding]:
    """Yield why the quantiser cannot be tried, if so."""
    latent = weight.latent.detach()
    real = weight.framework == "discovery" and latent.is_floating_point()
    if real and torch.equal(weight.values(), latent):
        words = "the parameter itself is on levels, as after decoding, and nothing quantises it in training"
        yield AuditFinding(words)
    elif weight.stored:
        words = "its codes are stored and it has no latents, so there is no gradient to check"
        yield AuditFinding(words)
    elif not bool(latent.isfinite().all()):
        words = "its latents are not finite, so it cannot be audited: the training has diverged"
        yield AuditFinding(words, "latents are not finite")
    elif weight.framework == "codes":
        words = "only its codes are known, so its gradient was not checked: give an example input instead"
        yield AuditFinding(words)


def _judged(row: TensorAudit, weight: QuantisedWeight) -> Iterator[AuditFinding]:
    if row.levels == 1:
        value = number(float(weight.values().flatten()[0]))
        what = "a layer of zeros" if value == "0" else f"all weights are {value}"
        words = (
            f"all {row.weights:,} weights are {value} for any latents: there is one level only; use other "
            "levels (signed integers of one bit are −1 and 0: take int2), or a scale smaller than the latents"
        )
        yield AuditFinding(words, what)
        return
    # A sign sends latents next to 0 to the outer levels, so that 0 is a level by accident.
    if row.at_zero == 0 and weight.levels <= 3 and 0 not in probes.codes_at(weight, _TINY):
        words = "the sign of 0 is 0 here, a third level: a latent of 0, as after pruning, gives a weight of 0"
        yield AuditFinding(words, "sign(0) is 0, a third level" if weight.trained else "")
    if weight.merged:
        yield AuditFinding("LoRA on a frozen base: the merged weight is quantised, and audited here")
    elif not weight.latent.requires_grad:
        what = "only its scale is trained" if weight.trained else "the weights stay as they are"
        yield AuditFinding(f"its latents are frozen, so {what} and need no gradient")


def _of_gradient(
    row: TensorAudit, slopes: Slopes, others: Slopes, whys: list[dict[str, float]], learned: bool = False
) -> Iterator[AuditFinding]:
    """Judge slopes under the present gradient of clamp, and the others under the other one."""
    activations = row.kind == "activation"
    what, end = ("activations", "input") if activations else ("weights", "latents")
    now, later = slopes.none or 0.0, (others if present_gradient() else slopes).none or 0.0
    row.why = whys[0]
    if now > 0:
        why = "; ".join(WHY[name] for name in sorted(row.why, key=lambda one: -row.why[one]))
        by_design = ""
        short = f"{readable(now)} of its {what} get no gradient ({', '.join(row.why)})"
        fact = short + (", but for a part in many through an average" if slopes.averaged else "")
        if NONE in row.why:
            fact = short = f"no gradient reaches its {end}, unless through the scale"
        if list(row.why) == [TAIL] and now <= BY_DESIGN:
            by_design = "a grid clips a tail of at most 2 % by design"
        elif list(row.why) == [TAIL] and activations and row.levels == 2 and now <= _WINDOW:
            by_design = "the surrogate of a binary activation is a window by design"
        elif learned and now <= LEARNED:
            by_design = "by design they are beyond the learned range, and come back when it grows"
        elif learned:
            why = "more than a third is beyond the learned range: start with a larger scale, or let it grow"
        yield AuditFinding(f"{fact}: {by_design or why}", short if now >= NOTABLE and not by_design else "")
    if later > now + NOTABLE / 2:
        why = CLAMP if CLAMP in whys[1] else BOUND
        short = f"{readable(later)} get no gradient with PyTorch 2.14 and later ({why})"
        sentence = (
            f"with PyTorch 2.14 and later {readable(later)} of its {what} get no gradient, because the "
            f"gradient of clamp is 0 at its bounds: {WHY[why]}"
        )
        yield AuditFinding(sentence, short if why == CLAMP or later > now + BY_DESIGN else "")
    if not bool(slopes.known.all()):
        number_of = f"{int(slopes.known.sum()):,} of its {what}"
        yield AuditFinding(f"each output follows many inputs, so the slopes of {number_of} alone were probed")
