"""Monitors for training loops of others: callbacks of Lightning and of transformers' Trainer.

Each package is imported when its function is called.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sterling.base.extras import installed, needed
from sterling.base.files import write_atomically
from sterling.errors import InputError, SterlingWarning
from sterling.torch.hooks import guarded
from sterling.torch.monitor import OrbitMonitor


def _saving(save: Callable[[Any], Any]) -> Callable[..., None]:
    """Return the action that saves a monitor's state; if it fails, it warns once, and the run goes on."""
    return guarded(save, lambda _: "a checkpoint lacks the state of the OrbitMonitor", again=True)


def lightning_callback(**options: Any) -> Any:
    """Return a Lightning callback that runs a monitor, its attribute `monitor`, during training.

    Checkpoints of the trainer hold the monitor's state, so resumed training continues the counts.

    Parameters
    ----------
    **options
        Options of `OrbitMonitor`: example, codes, horizons, within, and so on.

    Returns
    -------
    lightning.pytorch.Callback
        The callback, for ``Trainer(callbacks=[…])``.

    Raises
    ------
    InputError
        If Lightning is not installed, or the module has several optimisers.

    Examples
    --------
    >>> import sterling.torch as stt
    >>> watch = stt.lightning_callback(within=50)  # doctest: +SKIP
    >>> lightning.Trainer(callbacks=[watch]).fit(module, loader)  # doctest: +SKIP
    >>> watch.monitor.report()  # doctest: +SKIP
    """
    older = installed("lightning") is None and installed("pytorch_lightning") is not None
    base: Any = needed("pytorch_lightning" if older else "lightning").Callback

    class MonitorCallback(base):
        """Keeps a monitor; see `lightning_callback`."""

        monitor: Any = None
        _state: Any = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            count = len(trainer.optimizers)
            if count != 1:
                raise InputError(f"the module has {count} optimizers: make an OrbitMonitor for each")
            self.monitor = OrbitMonitor(pl_module, trainer.optimizers[0], **options)
            if self._state:
                self.monitor.load_state_dict(self._state)
            self._save = _saving(lambda state: state.update(self.monitor.state_dict()))

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self.monitor.close()

        def state_dict(self) -> dict[str, Any]:
            state: dict[str, Any] = {}
            if self.monitor is not None:
                self._save(state)
            return state

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self._state = state_dict

    return MonitorCallback()


def transformers_callback(**options: Any) -> Any:
    """Return a callback for transformers' Trainer that runs a monitor, its attribute `monitor`.

    It saves the monitor's state as `orbit_monitor.pt` in each checkpoint of the trainer, so training that
    resumes with the same `output_dir` continues the counts.

    Parameters
    ----------
    **options
        Options of `OrbitMonitor`.

    Returns
    -------
    transformers.TrainerCallback
        The callback, for ``Trainer(callbacks=[…])``.

    Raises
    ------
    InputError
        If transformers is not installed.

    Examples
    --------
    >>> import sterling.torch as stt
    >>> watch = stt.transformers_callback(within=50)  # doctest: +SKIP
    >>> transformers.Trainer(model, args, train_dataset=data, callbacks=[watch]).train()  # doctest: +SKIP
    >>> watch.monitor.report()  # doctest: +SKIP
    """
    base: Any = needed("transformers").TrainerCallback

    class MonitorCallback(base):
        """Keeps a monitor; see `transformers_callback`."""

        monitor: Any = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.monitor = OrbitMonitor(given["model"], given["optimizer"], **options)
            self._save = _saving(
                lambda path: write_atomically(path, partial(torch.save, self.monitor.state_dict()))
            )
            saved = self._file(args, state)
            if state.global_step and saved.exists():
                self.monitor.load_state_dict(torch.load(saved, weights_only=True))
            elif state.global_step:
                lost = f"{saved} does not exist, so the monitor counts from this step on"
                warnings.warn(f"{lost}: copy it there to continue", SterlingWarning, stacklevel=2)

        def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if state.is_world_process_zero or self.monitor.sharded:
                self._save(self._file(args, state))

        def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.monitor.close()

        def _file(self, args: Any, state: Any) -> Path:
            """Return the file of a checkpoint; processes that share the weights each have their part."""
            part = f"_{args.process_index}" if self.monitor.sharded else ""
            return Path(args.output_dir) / f"checkpoint-{state.global_step}" / f"orbit_monitor{part}.pt"

    return MonitorCallback()
