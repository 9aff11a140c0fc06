"""`verify`: no false alarm on faithful artefacts; each planted fault is found where it is, with its cause."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

import sterling.torch as stt
from sterling.errors import InputError
from tests.unit.torch import frameworks as fw
from tests.unit.torch import quantisers, writers
from tests.unit.torch.writers import saved

SIZE = 256


def net(levels=3, per="tensor", size=SIZE, dtype=torch.float32, **more):
    """Return two quantised square layers, so that a transposed weight has a fitting shape."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size)).to(dtype)
    return stt.binarize(model, levels=levels, per=per, **more)


def tensors_of(model, example=None):
    return {one.name: writers.of(one) for one in stt.find(model, example)}


def convolution():
    torch.manual_seed(5)
    return stt.binarize(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)), levels=7, per="channel")


def noisy():
    return fw.Quantised(fw.detached, SIZE, 64).bfloat16(), torch.ones(1, SIZE).bfloat16()


def small_scales():
    model = net()
    for one in stt.find(model):
        one.latent.data.mul_(1e-4)
    return model


CODES, VALUES, ONNX, GGUF = writers.safetensors_codes, writers.safetensors_values, writers.onnx, writers.gguf


#: A net, or a net with its example, and the writer of its file.
FAITHFUL = {
    "binary, int8 with scales": (partial(net, 2), CODES),
    "ternary, bfloat16 values": (net, partial(VALUES, dtype=torch.bfloat16)),
    "bfloat16 model": (partial(net, 15, dtype=torch.bfloat16), partial(VALUES, dtype=torch.bfloat16)),
    "16 levels, odd codes": (partial(net, 16), CODES),
    "per channel, bfloat16 scales": (partial(net, 7, "channel"), partial(CODES, dtype=torch.bfloat16)),
    "LSQ, codes with a zero point": (lambda: (quantisers.Lsq(4, True), fw.X), partial(CODES, zero=8)),
    "LoRA": (lambda: (fw.Lora(), fw.X), VALUES),
    "ternary, transformers": (fw.bitnet, CODES),
    "int4 in groups, ONNX": (fw.torchao, partial(ONNX, how=32, kind="INT4")),
    "int8 in groups, GGUF": (partial(fw.torchao, "int8"), partial(GGUF, kind="Q8_0")),
    "LSQ, ONNX by channel": (lambda: (quantisers.Lsq(4, True), fw.X), ONNX),
    "LSQ, unsigned codes": (lambda: (quantisers.Lsq(4, True), fw.X), partial(ONNX, kind="UINT4", zero=8)),
    "LSQ, QuantizeLinear in the file": (lambda: (quantisers.Lsq(4, True), fw.X), partial(ONNX, fake=True)),
    "a Transpose": (partial(net, 7, "channel", size=32), partial(ONNX, layer="MatMul", turn_node=True)),
    "bfloat16 with the noise of detaching, GGUF": (noisy, GGUF),
    "Brevitas, ONNX by tensor": (partial(fw.brevitas, "int4"), partial(ONNX, how="tensor")),
    "ternary, TQ1_0": (net, partial(GGUF, kind="TQ1_0")),
    "ternary, TQ2_0": (net, GGUF),
    "small scales, TQ1_0": (small_scales, partial(GGUF, kind="TQ1_0")),
    "convolution by channel, ONNX": (convolution, ONNX),
}


def suffix_of(write):
    kind = getattr(write, "func", write)
    return {ONNX: ".onnx", GGUF: ".gguf"}.get(kind, ".safetensors")


@pytest.mark.parametrize("case", FAITHFUL)
def test_faithful_artefacts_raise_no_alarm(case, tmp_path):
    make, write = FAITHFUL[case]
    made = make()
    model, example = made if isinstance(made, tuple) else (made, None)
    path = tmp_path / f"model{suffix_of(write)}"
    write(path, tensors_of(model, example))
    found = stt.verify(model, path, example)
    assert found.ok, found.findings
    assert len(found.rows) == len(stt.find(model, example))


FORMATS = {
    "safetensors codes": (CODES, 3),
    "safetensors values": (VALUES, 3),
    "safetensors values of 15 levels": (VALUES, 15),
    "ONNX tensor": (partial(ONNX, how="tensor"), 3),
    "ONNX channel": (ONNX, 15),
    "ONNX int4 blocks": (partial(ONNX, how=32, kind="INT4"), 15),
    "ONNX product": (partial(ONNX, how="tensor", layer="MatMul"), 2),
    "TQ1_0": (partial(GGUF, kind="TQ1_0"), 3),
    "TQ2_0": (GGUF, 3),
    "Q8_0": (partial(GGUF, kind="Q8_0"), 15),
}
CAUSES = {"code": "", "scale": "multiplied by 1.25", "transposed": "transposed", "float": "float latents"}


@pytest.mark.parametrize("fault", CAUSES)
@pytest.mark.parametrize("case", FORMATS)
def test_a_planted_fault_is_found_with_its_cause(case, fault, tmp_path):
    write, levels = FORMATS[case]
    model = net(levels)
    right = tensors_of(model)
    wrong, counts = writers.planted(right, "2.weight", fault, stt.find(model)[1].latent)
    path = tmp_path / f"model{suffix_of(write)}"
    write(path, wrong)
    found = stt.verify(model, path)
    first, second = found.rows
    assert not first.cause
    assert CAUSES[fault] in second.cause
    differ = (wrong["2.weight"].values - right["2.weight"].values).abs() > 1e-3 * right["2.weight"].scale
    assert second.first == tuple(differ.nonzero()[0].tolist())
    if counts is not None:
        assert (second.codes, second.scales) == counts
    assert len(found.findings) == 1
    start = {"code": "1 code of 65,536 weights differs", "scale": "the scale of "}.get(fault, "")
    assert found.findings[0].startswith(f"2.weight: {start}")


def grouped_net(size=64):
    """Return a torchao net in groups of 32, and what `convert` makes of a copy."""
    fw.needs("torchao")
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerGroup
    from torchao.quantization.qat import QATConfig

    base = IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32))
    torch.manual_seed(6)
    model = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))
    quantize_(model, QATConfig(base, step="prepare"))
    shipped = copy.deepcopy(model)
    quantize_(shipped, QATConfig(base, step="convert"))
    return model, shipped


#: Faults of a converted module: the change, the weights with another (code, scale), and the cause.
FAULTS = {
    "code": (lambda w: w.qdata[3, 5].sub_(1 if w.qdata[3, 5] >= 0 else -1), 1, 0, "no usual"),
    "scale": (lambda w: w.scale[4, 1].mul_(1.1), 0, "group", "multiplied by 1.1"),
    "all scales": (lambda w: w.scale.mul_(0.5), 0, "all", "multiplied by 0.5"),
    "zero point of a group": (lambda w: w.zero_point[4, 1].sub_(2), 32, 0, "off by 2, perhaps by"),
    "signs of a row": (lambda w: w.qdata[7].neg_(), 0, "row", "multiplied by −1"),
    "turned codes": (lambda w: w.qdata.copy_(w.qdata.t().clone()), None, 0, "transposed"),
    "clipped": (lambda w: w.qdata.clamp_(-3, 3), "beyond", 0, "no usual"),
    "not finite": (lambda w: w.scale[0].fill_(torch.nan), 64, 0, "not finite"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_cause_in_a_converted_module(fault):
    model, shipped = grouped_net()
    assert stt.verify(model, shipped).ok
    change, codes, scales, cause = FAULTS[fault]
    right = stt.find(model)[1].codes()
    with torch.no_grad():
        change(shipped[2].weight)
    first, second = stt.verify(model, shipped).rows
    assert not first.cause
    assert cause in second.cause
    count = {
        "all": int((right != 0).sum()),
        "group": int((right[4, 32:] != 0).sum()),
        "row": int((right[7] != 0).sum()),
        "beyond": int((right.abs() > 3).sum()),
        None: second.codes,
    }
    assert (second.codes, second.scales) == (count.get(codes, codes), count.get(scales, scales))


@pytest.mark.parametrize("fused", [False, True])
def test_a_model_that_torch_ao_has_converted(fused, tmp_path):
    """The fused quantiser trains with other scales than those that `convert` computes."""
    ao = torch.ao.quantization
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU()).train()
    model.qconfig = ao.get_default_qat_qconfig("fbgemm") if fused else ao.default_qat_qconfig
    ao.prepare_qat(model, inplace=True)(fw.X)
    model.eval().apply(ao.disable_observer)
    shipped = ao.convert(model)
    torch.save(shipped.state_dict(), tmp_path / "w.pt")
    for one in (shipped, tmp_path / "w.pt"):
        found = stt.verify(model, one, fw.X)
        assert found.ok != fused
        assert not fused or "computed anew" in found.rows[0].cause


@pytest.mark.parametrize("source", ["latent", "values"])
def test_weights_that_were_rounded_again(source):
    model, shipped = grouped_net()
    weight = stt.find(model)[1]
    given = weight.latent.detach() if source == "latent" else weight.values()
    scale = given.abs().amax() / 7
    codes = (given / scale).round()
    shipped[2] = nn.Linear(64, 64)
    with torch.no_grad():
        shipped[2].weight.copy_(scale * codes)
    row = stt.verify(model, shipped).rows[1]
    assert "computed anew" in row.cause
    assert row.codes == int((codes != weight.codes()).sum())
    assert row.scales == int((weight.codes() != 0).sum())


@pytest.mark.parametrize("turned", [True, False])
def test_a_transposed_square_weight_of_a_product_by_hand(turned, tmp_path):
    model = fw.Product((lambda w: fw.detached(w).t()) if turned else fw.detached, fw.WIDTH)
    right, path = tensors_of(model, fw.X), tmp_path / "model.onnx"
    for tensors, ok in ((right, turned), (writers.planted(right, "kernel", "transposed")[0], not turned)):
        ONNX(path, tensors, how="tensor", layer="MatMul")  # the factor in the file is the transpose
        assert stt.verify(model, path, fw.X).ok == ok


def test_shapes_that_differ(tmp_path):
    model = stt.binarize(nn.Linear(8, 4, bias=False), levels=3)
    right = stt.find(model)[0].values()
    wide = torch.zeros(16, 8)
    wide[:4] = right
    for values, cause in [(wide, "padded"), (right.t(), "transposed"), (right[:3], "(3, 8)")]:
        (row,) = stt.verify(model, saved(tmp_path / "w.safetensors", {"weight": values})).rows
        assert cause in row.cause


def test_levels_that_are_not_even(tmp_path):
    def ternary(w):
        return 0.31 * (w > 0.05) - 0.2 * (w < -0.05) + w - w.detach()

    model = fw.Quantised(ternary, outputs=64)
    right, path = ternary(model.weight).detach(), tmp_path / "ternary.safetensors"
    assert stt.verify(model, saved(path, {"weight": right}), fw.X).ok
    wrong = right.clone()
    wrong[3, 5] = 0.31 if right[3, 5] < 0.1 else 0
    for values, cause, codes in [
        (wrong, "no usual cause", 1),
        (right.t(), "transposed", None),
        (1.1 * right, "multiplied by 1.1", 0),
        (model.weight.detach(), "float latents", None),
    ]:
        (row,) = stt.verify(model, saved(path, {"weight": values}), fw.X).rows
        assert cause in row.cause
        assert codes in (None, row.codes)


def test_names(tmp_path):
    model = net(255, size=8)
    right = tensors_of(model)
    a, b = right["0.weight"].values, right["2.weight"].values
    path = tmp_path / "w.safetensors"
    assert stt.verify(model, saved(path, {"module.net.0.weight": a, "module.net.2.weight": b})).ok
    assert stt.verify(model, saved(path, {"first": a, "second": b})).ok  # by their values
    one_wrong = stt.verify(model, saved(path, {"first": a, "second": -b.half()}))  # the second is left, alone
    assert [row.cause for row in one_wrong.rows] == ["", "the scale is multiplied by −1"]
    lost = stt.verify(model, saved(path, {"first": -a, "second": -b}))
    assert [(row.stored_as, row.codes, row.scales) for row in lost.rows] == [("", None, None)] * 2
    assert "missing" in str(lost)
    assert "no tensor has its name" in lost.findings[0]


def test_a_tied_weight_is_compared_in_both_places(tmp_path):
    model = nn.ModuleDict({"embed": nn.Embedding(48, 32), "head": nn.Linear(32, 48, bias=False)})
    stt.binarize(model, levels=3, skip=["head"])
    model["head"].weight = model["embed"].parametrizations.weight.original
    right = stt.find(model)[0].values()
    path = tmp_path / "tied.safetensors"
    assert stt.verify(model, saved(path, {"head.weight": right})).ok
    found = stt.verify(model, saved(path, {"embed.weight": right, "head.weight": -right}))
    assert [bool(row.cause) for row in found.rows] == [False, True]


def test_codes_without_a_scale_and_packed_trits(tmp_path):
    model = fw.bitnet()
    from transformers.integrations.bitnet import pack_weights

    path, weight = tmp_path / "codes.safetensors", stt.find(model)[0]
    (row,) = stt.verify(model, saved(path, {"weight": weight.codes()})).rows
    assert row.cause == "no scale lies beside the codes"
    packed = {"weight": pack_weights(weight.codes().float()), "weight_scale": weight.scale().flatten()}
    assert stt.verify(model, saved(path, packed)).ok


def test_names_and_rows_of_llama(tmp_path):
    torch.manual_seed(7)
    model = nn.Module()
    model.layers = nn.ModuleList([nn.Module()])
    sizes = {"q_proj": SIZE, "k_proj": SIZE // 2}
    model.layers[0].self_attn = nn.ModuleDict({k: nn.Linear(SIZE, n, bias=False) for k, n in sizes.items()})
    stt.binarize(model, levels=3)

    def rotary(rows, heads):  # as llama.cpp's converter stores them
        half = rows.shape[0] // heads // 2
        return rows.reshape(heads, 2, half, -1).transpose(1, 2).reshape(rows.shape)

    stored = {}
    for weight, heads in zip(stt.find(model), (8, 4), strict=True):
        one = writers.of(weight)
        short = "blk.0.attn_q.weight" if "q_proj" in weight.name else "blk.0.attn_k.weight"
        stored[short] = writers.replace(one, codes=rotary(one.codes, heads))
    path = tmp_path / "llama.gguf"
    writers.gguf(path, stored, head_count=8, head_count_kv=4)
    found = stt.verify(model, path)
    assert found.ok
    assert {row.stored_as for row in found.rows} == set(stored)
    wrong, _ = writers.planted(stored, "blk.0.attn_k.weight", "code")
    writers.gguf(path, wrong, head_count=8, head_count_kv=4)
    assert [row.codes for row in stt.verify(model, path).rows] == [0, 1]


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".gguf", ".pt"])
def test_damaged_files_raise_one_sentence(suffix, tmp_path):
    model = net(size=SIZE)
    path = tmp_path / f"model{suffix}"
    write = {".safetensors": CODES, ".onnx": ONNX, ".gguf": GGUF}.get(suffix)
    if write is None:
        torch.save(stt.unbinarize(copy.deepcopy(model), keep="quantised").state_dict(), path)
    else:
        write(path, tensors_of(model))
    assert stt.verify(model, path).ok
    data = path.read_bytes()
    for cut in (0, 3, 40, len(data) // 2, len(data) - 200):
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match="export it again") as caught:
            stt.verify(model, path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_report_says_what_differs(tmp_path):
    model = net(size=8)
    right = [one.values() for one in stt.find(model)]
    found = stt.verify(
        model, saved(tmp_path / "w.safetensors", {"0.weight": -right[0], "2.weight": right[1]})
    )
    assert "multiplied by −1" in found._repr_html_()
    frame = found.frame()
    assert frame["cause"].to_list() == ["the scale is multiplied by −1", ""]
    assert frame["scales"].to_list() == [int((right[0] != 0).sum()), 0]
    first = tuple((right[0] != 0).nonzero()[0].tolist())
    assert tuple(frame["first"][0]) == first
    assert frame["expected"][0] == pytest.approx(float(right[0][first]))
    assert frame["found"][0] == -frame["expected"][0]


def test_a_tensor_of_many_axes_ends(tmp_path):
    torch.save({"0.weight": torch.zeros((1,) * 14)}, tmp_path / "a.pt")  # they have 14! orders
    assert stt.verify(net(size=4), tmp_path / "a.pt").rows[0].cause.startswith("the shape is (1, 1")


def test_nodes_of_onnx_compute_a_bounded_amount(tmp_path):
    fw.needs("onnx")
    from onnx import SparseTensorProto, helper, numpy_helper, save

    model = stt.binarize(nn.Sequential(nn.Linear(4, 4)))
    constants = [numpy_helper.from_array(model[0].weight.detach().numpy(), "t0")]
    for layers in (30, 90):
        nodes = [helper.make_node("Identity", [f"t{k}"], [f"t{k + 1}"]) for k in range(layers)]
        nodes.append(helper.make_node("Gemm", ["x", f"t{layers}"], ["y"], transB=1))
        nodes.append(helper.make_node("Constant", [], ["s"], sparse_value=SparseTensorProto()))
        save(helper.make_model(helper.make_graph(nodes, "net", [], [], constants)), tmp_path / "a.onnx")
        if layers == 30:
            assert stt.verify(model, tmp_path / "a.onnx").ok
        else:
            with pytest.raises(InputError, match="64 times as large as its constants"):
                stt.verify(model, tmp_path / "a.onnx")
