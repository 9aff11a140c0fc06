"""A file of ONNX gives PyTorch's answers, and nothing is written where there is none."""

import pytest
import torch
from torch import nn

import sterling.torch as stt
from sterling.errors import InputError


@pytest.fixture(autouse=True)
def onnxruntime():
    pytest.importorskip("onnxscript", reason="PyTorch's exporter is built on it")
    return pytest.importorskip("onnxruntime", reason="it runs the file")


def test_several_outputs_and_a_model_that_cannot_be_traced(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(9, 5), nn.Linear(5, 3)

        def forward(self, x):
            y = self.head(self.words(x))
            return y, {"more": y + 1}

    model = stt.binarize(Two(), levels=3)
    assert stt.to_onnx(model, tmp_path / "net.onnx", torch.arange(4).reshape(2, 2)) < 1e-4
    with pytest.raises(InputError, match="ONNX") as caught:
        stt.to_onnx(model, tmp_path / "other.onnx", "words")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "other.onnx").exists()


def test_the_same_classes_for_a_batch_of_any_size(tmp_path, onnxruntime):
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)]
    model = stt.binarize(nn.Sequential(*layers), levels=3)
    model(torch.randn(32, 1, 8, 8) + 0.3)
    model.eval()
    assert stt.to_onnx(model, tmp_path / "net.onnx", torch.randn(4, 1, 8, 8)) < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    more = torch.randn(9, 1, 8, 8)
    (found,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    assert found.argmax(1).tolist() == model(more).argmax(1).tolist()
    assert stt.find(model)  # the model itself is as it was
