"""What every optimiser is: a value with a name, a start and a step; and reading one from text or a file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sterling.base import checks
from sterling.base.registry import Registry
from sterling.base.text import Described
from sterling.errors import InputError, InputTypeError


class Motion(NamedTuple):
    """How latents move while no weight turns: u_{t+1} = u_t − η_t (pull·G − back·b + κ u_t).

    Weight k turns once u_k lies beyond ``band`` on the other side.
    """

    pull: float
    back: float
    kappa: float
    band: float


#: Plain gradient steps.
PLAIN = Motion(1.0, 0.0, 0.0, 0.0)


class Optimizer(Described):
    """Base class of optimisers. A subclass is a frozen dataclass with a ``name``, `step`, and `start`.

    The engine adds damping to the gradient before the step, and clips the latents after it. A subclass turns
    these on with fields of its own called ``damping``, ``clip`` and ``band``; `SGD` describes them.

    Attributes
    ----------
    name : str
        Name for `register`, the command line and saved runs.
    scale_free : bool
        Whether the step size is η_t = rate·(t+1)^−exponent, not divided by ‖v‖², because the step does not
        grow with the gradient. False by default.

    Examples
    --------
    A user's optimiser, in NumPy. It runs on the dense engine:

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> import sterling as st
    >>> @st.register
    ... @dataclass(frozen=True)
    ... class Centred(st.Optimizer):
    ...     name = "centred"
    ...
    ...     def step(self, latent, gradient, signs, rate, state):
    ...         return latent - rate * (gradient - gradient.mean())
    >>> instance = st.Problem(n=8, samples=100).draw(seed=0)
    >>> st.train(instance, steps=100, optimizer=Centred()).optimizer
    Centred()
    """

    name: ClassVar[str] = ""
    scale_free: ClassVar[bool] = False
    damping: float = 0.0
    clip: float | None = None
    band: float = 0.0

    def start(self, n: int) -> np.ndarray | None:
        """Return what the optimiser remembers between steps, as it is before the first one.

        Parameters
        ----------
        n : int
            Number of weights.

        Returns
        -------
        float64 array of any shape, or None
            Checkpoints keep it. By default the optimiser remembers nothing.
        """
        return None

    def step(
        self, latent: np.ndarray, gradient: np.ndarray, signs: np.ndarray, rate: float, state: Any
    ) -> np.ndarray:
        """Return the latents after one step.

        Parameters
        ----------
        latent : float64 (n,)
            u_t. Not to be changed.
        gradient : float64 (n,)
            G(w_t), with the damping θS(u_t − b_t) added.
        signs : int8 (n,)
            b_t, the weights times √n.
        rate : float
            η_t.
        state : float64 array or None
            What `start` returned; the step changes it in place.

        Returns
        -------
        float64 (n,)
            u_{t+1}.
        """
        raise NotImplementedError

    @property
    def _built_in(self) -> bool:
        """Whether the compiled engines know it."""
        return self.name in OPTIMIZERS.built_in and OPTIMIZERS.find(self.name) is type(self)

    @property
    def uses_signal(self) -> bool:
        """Whether the run needs S, the unit of damping and band."""
        return self.damping > 0 or self.band > 0

    def begin(self, latent: np.ndarray) -> np.ndarray:
        """Return u_0 as the optimiser takes it: within ±clip, if there is one.

        Parameters
        ----------
        latent : float64 (n,)
            The latents given or drawn.

        Returns
        -------
        float64 (n,)
            The latents at step 0. The weights are the signs of those given.
        """
        return latent if self.clip is None else np.clip(latent, -self.clip, self.clip)

    @property
    def _numbers(self) -> tuple[float, ...]:
        """The numbers that the compiled step of a built-in optimiser takes, see `make` in its file."""
        return ()

    def _motion(self, signal: float) -> Motion | None:
        """Return how latents move between two flips, if they only drift and relax, else None.

        ``signal`` is S.
        """
        return None

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **super().to_dict()}

    def __str__(self) -> str:
        changed = [f"{name}={_text(value)}" for name, value in self._changed()]
        return f"{self.name}:{','.join(changed)}" if changed else self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._changed())})"

    def _changed(self) -> list[tuple[str, Any]]:
        """Return the fields that differ from their defaults."""
        named = ((one, getattr(self, one.name)) for one in fields(self))  # type: ignore[arg-type]
        return [(one.name, value) for one, value in named if value != one.default]

    def _check(self, **ranges: dict[str, Any]) -> None:
        """Check fields that are numbers, each in its range as `checks.real` takes it; None stays None."""
        for name, limits in ranges.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checks.real(value, name, **limits) + 0.0)  # −0.0 is 0


OPTIMIZERS: Registry[type[Optimizer]] = Registry(
    "optimizer",
    "sterling.optimizers",
    lambda thing: isinstance(thing, type) and issubclass(thing, Optimizer),
    modules={
        "sgd": "sterling.optimizers.sgd",
        "adam": "sterling.optimizers.adam",
        "lion": "sterling.optimizers.lion",
        "signsgd": "sterling.optimizers.signsgd",
        "bop": "sterling.optimizers.bop",
    },
)


def as_optimizer(value: Any) -> Optimizer:
    """Return a user's optimiser: an `Optimizer`, or text "NAME" or "NAME:FIELD=VALUE,…".

    Such text is "sgd:momentum=0.9" or "adam:betas=0.9/0.99".
    """
    if isinstance(value, Optimizer):
        return value
    shown = f"optimizer is {checks.shown(value)}"
    if not isinstance(value, str):
        text = f"{shown}; give one such as st.SGD(momentum=0.9), or its text"
        raise InputTypeError(text, argument="optimizer")
    name, _, rest = value.strip().partition(":")
    kind = OPTIMIZERS.find(name.strip().lower())
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    try:
        for part in filter(None, map(str.strip, rest.split(","))):
            if "=" not in part:
                raise InputError(
                    f"{part!r} has no value; write damping=0.5, and two numbers as betas=0.9/0.99"
                )
            word, _, number = map(str.strip, part.partition("="))
            if word not in known:
                raise InputError(
                    f"{word!r} is not one of the options of {name}: {', '.join(known) or 'none'}"
                )
            try:
                numbers = tuple(map(float, number.split("/")))
            except ValueError:
                raise InputError(f"{number!r} is not a number; write NAME=VALUE") from None
            values[word] = numbers[0] if len(numbers) == 1 else numbers
        return kind(**values)
    except InputError as problem:
        raise InputError(f"{shown}, where {problem}", argument="optimizer") from None


def optimizer_from_dict(values: dict[str, Any]) -> Optimizer:
    """Return the optimiser that `Optimizer.to_dict` described, or raise InputError."""
    kind = OPTIMIZERS.find(values["name"])
    given = {
        key: tuple(one) if isinstance(one, list) else one for key, one in values.items() if key != "name"
    }
    if set(given) != {one.name for one in fields(kind)}:  # type: ignore[arg-type]
        raise InputError(f"the optimizer {values['name']!r} has other fields than the saved one")
    return kind(**given)


def check_betas(betas: Any) -> tuple[float, float]:
    """Return two numbers, each from 0 to below 1."""
    try:
        first, second = betas
    except (TypeError, ValueError):
        raise InputTypeError(
            f"betas is {checks.shown(betas)}; give two numbers such as (0.9, 0.99), as text 0.9/0.99"
        ) from None
    return tuple(checks.real(one, "betas", 0, below=1) + 0.0 for one in (first, second))  # type: ignore


def _text(value: Any) -> str:
    return "/".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
