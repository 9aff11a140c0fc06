"""Monitors for training loops of others: callbacks of Lightning and of transformers' Trainer.

Each package is imported when its function is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sterling.base.extras import installed
from sterling.errors import InputError
from sterling.torch.monitor import OrbitMonitor


def lightning_callback(**options: Any) -> Any:
    """Return a Lightning callback that runs a monitor during training.

    Its attribute `monitor` is the `OrbitMonitor`, which is made when training starts. Checkpoints of the
    trainer hold its state, so resumed training continues the counts.

    Parameters
    ----------
    **options
        Options of `OrbitMonitor`: example, codes, horizons, within, momentum.

    Returns
    -------
    lightning.pytorch.Callback
        The callback, for ``Trainer(callbacks=[…])``.

    Raises
    ------
    InputError
        If Lightning is not installed, or the module has several optimisers.
    """
    home = next((one for one in ("lightning", "pytorch-lightning") if installed(one) is not None), None)
    if home is None:
        raise InputError("this needs Lightning, which is not installed: pip install lightning")
    module = {"lightning": "lightning.pytorch", "pytorch-lightning": "pytorch_lightning"}[home]
    base: Any = import_module(module).Callback

    class MonitorCallback(base):
        """Keeps a monitor; see `lightning_callback`."""

        monitor: OrbitMonitor | None = None
        _state: dict[str, Any] | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            if len(trainer.optimizers) != 1:
                raise InputError(
                    f"the module has {len(trainer.optimizers)} optimizers: make an OrbitMonitor for each"
                )
            self.monitor = OrbitMonitor(pl_module, trainer.optimizers[0], **options)
            if self._state is not None:
                self.monitor.load_state_dict(self._state)
                self._state = None

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            if self.monitor is not None:
                self.monitor.close()

        def state_dict(self) -> dict[str, Any]:
            return {} if self.monitor is None else self.monitor.state_dict()

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self._state = state_dict or None

    return MonitorCallback()


def transformers_callback(**options: Any) -> Any:
    """Return a callback for transformers' Trainer that runs a monitor during training.

    Its attribute `monitor` is the `OrbitMonitor`, which is made when training starts. Checkpoints of the
    trainer do not hold its state: save `monitor.state_dict()` with them.

    Parameters
    ----------
    **options
        Options of `OrbitMonitor`: example, codes, horizons, within, momentum.

    Returns
    -------
    transformers.TrainerCallback
        The callback, for ``Trainer(callbacks=[…])``.

    Raises
    ------
    InputError
        If transformers is not installed.
    """
    if installed("transformers") is None:
        raise InputError("this needs transformers, which is not installed: pip install transformers")
    from transformers import TrainerCallback  # pyright: ignore[reportMissingImports]

    class MonitorCallback(TrainerCallback):
        """Keeps a monitor; see `transformers_callback`."""

        monitor: OrbitMonitor | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.monitor = OrbitMonitor(given["model"], given["optimizer"], **options)

        def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self.monitor is not None:
                self.monitor.close()

    return MonitorCallback()
