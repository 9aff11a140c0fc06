"""Monitors in loops that others write: Lightning's and transformers'."""

import logging
import warnings

import pytest
import torch

import sterling.torch as stt
from sterling.errors import SterlingWarning
from sterling.torch.callbacks import _saving, lightning_callback, transformers_callback
from tests.unit.torch.frameworks import needs


def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x[:, :1]), batch_size=8)


def test_lightning_counts_its_steps_and_resumes(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = stt.binarize(torch.nn.Sequential(torch.nn.Linear(6, 1)), levels=3)

        def training_step(self, batch, index):
            x, y = batch
            return ((self.net(x) - y) ** 2).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.5)

    def trainer(callback, epochs):
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        return lightning.Trainer(
            max_epochs=epochs, callbacks=[callback], accelerator="cpu", enable_checkpointing=False, **quiet
        )

    whole, first, second = (lightning_callback(within=5, horizons=(8,)) for _ in range(3))
    trainer(whole, 4).fit(Module(), data())
    assert whole.monitor.steps == 20
    half = trainer(first, 2)
    half.fit(Module(), data())
    half.save_checkpoint(tmp_path / "half.ckpt")
    trainer(second, 4).fit(Module(), data(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert second.monitor.frame().equals(whole.monitor.frame())
    assert whole.monitor.frame()["flips"][0] > 0


class Net(torch.nn.Module):
    """A model as transformers' Trainer takes it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = stt.binarize(torch.nn.Sequential(torch.nn.Linear(6, 1)), levels=3)

    def forward(self, x, labels):
        return {"loss": ((self.net(x) - labels) ** 2).mean()}


def trainer(folder, callback, steps, **more):
    transformers, _ = needs("transformers"), needs("accelerate")
    generator = torch.Generator().manual_seed(0)
    rows = [{"x": x, "labels": x[:1]} for x in torch.randn(40, 6, generator=generator)]
    settings = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        learning_rate=0.1,
        lr_scheduler_type="constant",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **more,
    )
    return transformers.Trainer(Net(), settings, train_dataset=rows, callbacks=[callback])


def test_transformers_counts_its_steps_and_resumes(tmp_path):
    needs("transformers")
    whole, first, second = (transformers_callback(within=5, horizons=(8,)) for _ in range(3))
    trainer(tmp_path / "one", whole, 15, save_strategy="no").train()
    assert whole.monitor.steps == 15
    assert whole.monitor.frame()["flips"][0] > 0
    save = {"save_strategy": "steps", "save_steps": 7}
    trainer(tmp_path / "two", first, 7, **save).train()
    assert (tmp_path / "two/checkpoint-7/orbit_monitor.pt").exists()
    trainer(tmp_path / "two", second, 15, **save).train(resume_from_checkpoint=True)
    assert second.monitor.frame().equals(whole.monitor.frame())
    assert second.monitor.history == whole.monitor.history
    lost = trainer(tmp_path / "three", transformers_callback(within=5), 8, **save)
    with pytest.warns(SterlingWarning, match="copy it there"):
        lost.train(resume_from_checkpoint=str(tmp_path / "two/checkpoint-7"))


def test_a_state_that_cannot_be_saved_ends_neither_the_run_nor_later_savings():
    saved, full = [], [True, True, False]

    def save(state):
        if full.pop(0):
            raise torch.OutOfMemoryError("no memory left")
        saved.append(state)

    action = _saving(save)
    with pytest.warns(SterlingWarning, match=r"lacks the state.*training goes on.*no memory") as caught:
        action(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        action(2)
        action(3)
    assert len(caught) == 1
    assert saved == [3]
