"""Instruments for quantisation-aware training in PyTorch: quantisers, flips, averages of weights.

They need the extra `torch`, and do not use the simulator. Public names load their modules on first use.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from sterling.base.extras import how_to_install
from sterling.base.lazy import lazily

if find_spec("torch") is None:
    raise ImportError(f"sterling.torch needs PyTorch, which is not installed: {how_to_install('torch')}")

if TYPE_CHECKING:
    from sterling.torch.audit_report import Audit as Audit
    from sterling.torch.auditing import audit as audit
    from sterling.torch.between import CheckpointFlips as CheckpointFlips
    from sterling.torch.between import flips_between as flips_between
    from sterling.torch.callbacks import lightning_callback as lightning_callback
    from sterling.torch.callbacks import transformers_callback as transformers_callback
    from sterling.torch.clamps import ClampGradient as ClampGradient
    from sterling.torch.damping import Damping as Damping
    from sterling.torch.decoding import decode as decode
    from sterling.torch.functions import heaviside as heaviside
    from sterling.torch.functions import round_to as round_to
    from sterling.torch.functions import sign as sign
    from sterling.torch.handle import QuantisedWeight as QuantisedWeight
    from sterling.torch.monitor import OrbitMonitor as OrbitMonitor
    from sterling.torch.parametrized import binarize as binarize
    from sterling.torch.parametrized import unbinarize as unbinarize
    from sterling.torch.verifying import Verification as Verification
    from sterling.torch.verifying import verify as verify
    from sterling.torch.weights import find as find

# No module has the name of a public function: importing it would replace the function.
__getattr__, __dir__, __all__ = lazily(globals())
