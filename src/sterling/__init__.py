"""sterling: a laboratory for the straight-through estimator.

The public names load what they need on first use, so ``import sterling`` costs next to nothing.
"""

from __future__ import annotations

from sterling.base.lazy import lazily

#: The version, in this one place: the build, the package and the command line read it from here.
__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know the name; to import `typing` takes longer than all else here
if TYPE_CHECKING:
    from sterling import plot as plot
    from sterling import study as study
    from sterling import theory as theory
    from sterling.base.registry import register as register
    from sterling.dynamics.orbit import Orbit as Orbit
    from sterling.dynamics.restart import Restart as Restart
    from sterling.dynamics.train import resume as resume
    from sterling.dynamics.train import train as train
    from sterling.dynamics.verdict import Verdict as Verdict
    from sterling.errors import CapacityError as CapacityError
    from sterling.errors import CheckpointError as CheckpointError
    from sterling.errors import InputError as InputError
    from sterling.errors import InputTypeError as InputTypeError
    from sterling.errors import SterlingError as SterlingError
    from sterling.errors import SterlingWarning as SterlingWarning
    from sterling.errors import StoreError as StoreError
    from sterling.errors import UnreadableError as UnreadableError
    from sterling.exact.grid import Rounding as Rounding
    from sterling.landscapes.certificate import Certificate as Certificate
    from sterling.landscapes.certificate import certify as certify
    from sterling.landscapes.landscape import Landscape as Landscape
    from sterling.landscapes.landscape import landscape as landscape
    from sterling.model.data import load_data as load_data
    from sterling.model.families import Family as Family
    from sterling.model.families import get_family as get_family
    from sterling.model.instance import Instance as Instance
    from sterling.model.normalise import Normalizer as Normalizer
    from sterling.model.problem import Problem as Problem
    from sterling.optimizers.adam import Adam as Adam
    from sterling.optimizers.base import Optimizer as Optimizer
    from sterling.optimizers.batch import Batch as Batch
    from sterling.optimizers.bop import Bop as Bop
    from sterling.optimizers.lion import Lion as Lion
    from sterling.optimizers.sgd import SGD as SGD
    from sterling.optimizers.signsgd import SignSGD as SignSGD
    from sterling.plans.needs import Plan as Plan
    from sterling.plans.plan import plan as plan
    from sterling.schedules import Constant as Constant
    from sterling.schedules import Power as Power
    from sterling.schedules import Table as Table
    from sterling.surrogates import SURROGATES as SURROGATES
    from sterling.surrogates import Surrogate as Surrogate
    from sterling.surrogates import get_surrogate as get_surrogate

__getattr__, __dir__, __all__ = lazily(globals())
__all__ += ["__version__"]
