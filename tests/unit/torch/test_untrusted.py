"""Artefacts that nobody should trust: small files that would take all time or memory, and open files."""

from pathlib import Path

import pytest
import torch

import sterling as st
import sterling.torch as stt
from sterling.torch.artefacts import opened
from tests.unit.torch import frameworks as fw


def net():
    torch.manual_seed(3)
    return stt.binarize(torch.nn.Sequential(torch.nn.Linear(4, 4)))


def test_a_tensor_of_many_axes_ends(tmp_path, monkeypatch):
    def few(axes):
        assert len(axes) < 14  # they have 14! orders
        return iter(())

    monkeypatch.setattr("sterling.torch.verifying.permutations", few)
    torch.save({"0.weight": torch.zeros((1,) * 14)}, tmp_path / "a.pt")
    assert stt.verify(net(), tmp_path / "a.pt").rows[0].cause.startswith("the shape is (1, 1")


@pytest.mark.parametrize("layers", [18, 40])
def test_each_node_of_onnx_is_computed_once(tmp_path, monkeypatch, layers):
    fw.needs("onnx")
    from onnx import helper, numpy_helper, save
    from onnx.reference import ReferenceEvaluator

    model, nodes = net(), []
    for k in range(layers):
        nodes += [helper.make_node("Identity", [f"t{k}"], [f"{side}{k}"]) for side in "ab"]
        nodes.append(helper.make_node("Clip", [f"a{k}", f"b{k}"], [f"t{k + 1}"]))
    nodes.append(helper.make_node("Gemm", ["x", f"t{layers}"], ["y"], transB=1))
    constants = [numpy_helper.from_array(model[0].weight.detach().numpy(), "t0")]
    save(helper.make_model(helper.make_graph(nodes, "net", [], [], constants)), tmp_path / "a.onnx")
    runs = []

    def run(*given):
        runs.append(given)
        assert len(runs) < 200
        return [given[2][max(given[2])]]  # these nodes copy their input

    monkeypatch.setattr(ReferenceEvaluator, "run", run)
    if layers > 20:
        with pytest.raises(st.InputError, match="more than 64 tensors lead to one weight"):
            stt.verify(model, tmp_path / "a.onnx")
    else:
        stt.verify(model, tmp_path / "a.onnx")
        assert len(runs) <= 3 * 3 * layers  # three readings


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="open files are counted on Linux")
def test_no_file_stays_open(tmp_path):
    fw.needs("safetensors")
    from safetensors.torch import save_file

    save_file({"0.weight": torch.ones(4, 4)}, tmp_path / "a.safetensors")
    found = opened(tmp_path / "a.safetensors")
    assert list(found[0]) == ["0.weight"]
    assert "a.safetensors" not in Path("/proc/self/maps").read_text()
