"""The claims in their order: what the source states, how sure that is, and which file measures it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sterling.claims.finding import Finding

if TYPE_CHECKING:
    from sterling.claims.context import Context

PAPER = "Jeong, Xin & Yin, arXiv 2505.18113"


@dataclass(frozen=True)
class Claim:
    """One statement to be measured.

    Attributes
    ----------
    key, title, statement, kind, source : str
        As in `Finding`.
    module : str
        The file of this folder whose ``measure(context)`` returns the finding.
    """

    key: str
    title: str
    statement: str
    kind: str
    source: str
    module: str

    @property
    def measure(self) -> Callable[[Context], Finding]:
        return import_module(f"sterling.claims.{self.module}").measure

    def found(self, **results: Any) -> Finding:
        """Return a finding for this claim; ``results`` are the rest of its fields."""
        return Finding(self.key, self.title, self.statement, self.kind, self.source, **results)


_ALL = (
    Claim(
        "P1",
        "Ergodic convergence without label noise",
        "Without label noise the time average of the iterates converges to the global minimum w*; O(n²) "
        "samples suffice.",
        "theorem",
        PAPER,
        "ergodic",
    ),
    Claim(
        "P2",
        "Non-ergodic convergence: visits to w*",
        "The iterates themselves visit w* infinitely often; O(n⁴) samples suffice.",
        "theorem",
        PAPER,
        "visits",
    ),
    Claim(
        "P3",
        "Recurrence under label noise",
        "Under label noise the iterates escape from w* and return to it, again and again.",
        "theorem",
        PAPER,
        "returns",
    ),
    Claim(
        "P4",
        "Sample size decides, step size does not",
        "Whether the STE-gradient method succeeds is decided by the sample size.",
        "theorem",
        PAPER,
        "step_sizes",
    ),
    Claim(
        "P5",
        "Non-Gaussian inputs and normalisation",
        "On general non-Gaussian inputs the method fails; normalising the inputs restores it.",
        "theorem",
        f"{PAPER}, second version",
        "input_laws",
    ),
    Claim(
        "population",
        "The mean gradient of the infinite sample",
        "For Gaussian inputs E G(w) = ‖v‖²/(2√(2π))·(w − w*) with the ReLU surrogate, and twice that with "
        "the identity.",
        "exact",
        "follows from Yin et al. 2019, arXiv 1903.05662",
        "mean_gradient",
    ),
    Claim(
        "rates",
        "Conditions on the step sizes",
        "The theorems ask for step sizes that are bounded, of infinite sum and slowly decaying; with a "
        "finite sum a run can stall.",
        "theorem",
        PAPER,
        "learning_rates",
    ),
    Claim(
        "concentration",
        "Uniform concentration of the gradient",
        "The proofs rest on sup ‖G(w) − E G(w)‖ over all 2ⁿ weights falling like N^(−1/2).",
        "theorem",
        PAPER,
        "concentration",
    ),
    Claim(
        "surrogates",
        "Which surrogate needs fewer samples under noise",
        "With a known readout the identity should be at w* as often as ReLU is, with about half of its "
        "samples.",
        "mean-field",
        "sterling.theory.balance; science.md, 7",
        "surrogate_choice",
    ),
)

#: Every claim by key, in the order in which they are measured.
CLAIMS = {claim.key: claim for claim in _ALL}
