"""Packed nets give PyTorch's answers from the bytes that they promise, and bad files are refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the instruments for PyTorch need it")
from torch import nn  # noqa: E402

import sterling.torch as stt  # noqa: E402
from sterling.errors import InputError, SterlingError, StoreError  # noqa: E402
from sterling.torch.export import pack, to_onnx  # noqa: E402
from sterling.torch.packed import HEADER, MAGIC, load_packed, pack_codes, unpack_codes  # noqa: E402
from tests.unit.torch import frameworks as fw  # noqa: E402


def digits_net(levels, per="tensor"):
    """A small conv net with trained batch norms."""
    torch.manual_seed(levels)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(12), nn.Hardtanh()),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(12, 10),
    )
    stt.binarize(model, levels=levels, per=per)
    for _ in range(5):
        model(torch.randn(32, 1, 8, 8) + 0.3)
    return model.eval()


@pytest.fixture(scope="module")
def images():
    from sklearn.datasets import load_digits

    return torch.tensor(load_digits().images[:, None] / 16).float()


@pytest.mark.parametrize("levels, per", [(2, "tensor"), (3, "channel"), (4, "tensor"), (16, "channel")])
def test_every_image_gets_the_same_class(levels, per, images, tmp_path):
    pytest.importorskip("sklearn", reason="the images are scikit-learn's")
    model = digits_net(levels, per)
    packed = pack(model, tmp_path / "net.bits")
    bits = {2: 1, 3: 2, 4: 2, 16: 4}[levels]
    weights = [8 * 9, 12 * 4 * 9, 120]
    assert packed == sum(-(-n * bits // 8) for n in weights)
    net = load_packed(tmp_path / "net.bits")
    with torch.no_grad():
        ours = model(images)
    np.testing.assert_allclose(net(images[:50].numpy()), ours[:50], rtol=1e-4, atol=1e-5)
    assert np.array_equal(net.predict(images.numpy()), ours.argmax(1).numpy())


def test_a_decoded_net_is_packed_as_well(tmp_path):
    torch.manual_seed(0)
    model = stt.binarize(nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 3), nn.Sigmoid()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    monitor = stt.OrbitMonitor(model, optimizer)
    for _ in range(40):
        x = torch.randn(8, 16)
        optimizer.zero_grad()
        ((model(x) - x[:, :3]) ** 2).mean().backward()
        optimizer.step()
    better = stt.decode(model, monitor, horizon=16)
    assert pack(better, tmp_path / "net.bits") == 16 * 24 // 8 + 24 * 3 // 8
    x = torch.randn(100, 16)
    assert np.array_equal(load_packed(tmp_path / "net.bits").predict(x.numpy()), better(x).argmax(1).numpy())


@pytest.mark.parametrize(
    "make",
    [lambda: fw.Quantised(fw.detached), lambda: fw.torchao(group=fw.WIDTH), lambda: fw.brevitas("ternary")],
)
def test_layers_that_quantise_themselves_are_packed_with_an_example(make, tmp_path):
    model = nn.Sequential(nn.BatchNorm1d(fw.WIDTH), make(), nn.ReLU())
    levels = stt.find(model, fw.X)[0].levels
    assert pack(model, tmp_path / "net.bits", fw.X) == 48 * fw.WIDTH * (2 if levels == 3 else 4) // 8
    with torch.no_grad():
        ours = model.eval()(fw.X)
    np.testing.assert_allclose(load_packed(tmp_path / "net.bits")(fw.X.numpy()), ours, rtol=1e-4, atol=1e-5)
    assert len(stt.find(model, fw.X)) == 1  # the model itself is as it was


def test_a_layer_that_does_more_than_quantise_is_refused(tmp_path):
    class Twice(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = nn.Sequential(Twice(4, 3))
    for example, about in (
        (torch.ones(2, 4), "does more"),
        (torch.ones(2, 5), "cannot be run"),
        (3, "example"),
    ):
        with pytest.raises(InputError, match=about):
            pack(model, tmp_path / "net.bits", example)
    assert not list(tmp_path.iterdir())


def test_weights_on_no_grid_are_written_as_they_are(tmp_path):
    model = nn.Sequential(nn.Linear(5, 4), nn.Identity())
    assert pack(model, tmp_path / "net.bits") == 0
    x = torch.randn(7, 5)
    np.testing.assert_allclose(load_packed(tmp_path / "net.bits")(x.numpy()), model(x).detach(), rtol=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_codes_survive_packing(bits):
    codes = np.random.default_rng(bits).integers(0, 2**bits, 101)
    data = pack_codes(codes, bits)
    assert len(data) == -(-101 * bits // 8)
    assert unpack_codes(data, 101, bits).tolist() == codes.tolist()


def test_a_layer_that_stands_twice_is_run_twice(tmp_path):
    layer, act = nn.Linear(6, 6), nn.Tanh()
    model = stt.binarize(nn.Sequential(layer, act, layer, act))
    pack(model, tmp_path / "net.bits")
    x = torch.randn(7, 6)
    with torch.no_grad():
        np.testing.assert_allclose(load_packed(tmp_path / "net.bits")(x.numpy()), model(x), atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 9])
@pytest.mark.parametrize("levels", [2, 3, 5, 128, 255])
def test_odd_sizes(size, levels, tmp_path):
    model = stt.binarize(nn.Sequential(nn.Linear(size, size), nn.Linear(size, 3, bias=False)), levels=levels)
    pack(model, tmp_path / "net.bits")
    x = torch.randn(7, size)
    with torch.no_grad():
        np.testing.assert_allclose(
            load_packed(tmp_path / "net.bits")(x.numpy()), model(x), rtol=1e-4, atol=1e-4
        )


def test_weights_that_are_all_one_value(tmp_path):
    model = nn.Sequential(nn.Linear(8, 4))
    for value in (0.0, 0.3):
        nn.init.constant_(model[0].weight, value)
        assert pack(model, tmp_path / "net.bits") == 4
        x = torch.randn(7, 8)
        with torch.no_grad():
            np.testing.assert_allclose(load_packed(tmp_path / "net.bits")(x.numpy()), model(x), atol=1e-6)


def test_more_than_256_levels_are_floats(tmp_path):
    model = nn.Sequential(nn.Linear(64, 64))
    for count, packed in ((256, 4096), (300, 0)):
        with torch.no_grad():
            model[0].weight.copy_((torch.arange(4096).reshape(64, 64) % count - count // 2) * 0.01)
        assert pack(model, tmp_path / "net.bits") == packed


@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_bfloat16_takes_as_few_bits(per, tmp_path):
    model = stt.binarize(nn.Sequential(nn.Linear(400, 40)), levels=3, per=per).bfloat16()
    assert pack(model, tmp_path / "net.bits") == 400 * 40 // 4


def test_onnx_of_several_outputs(tmp_path):
    pytest.importorskip("onnxruntime", reason="it runs the file")
    pytest.importorskip("onnxscript", reason="PyTorch's exporter is built on it")

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(9, 5), nn.Linear(5, 3)

        def forward(self, x):
            y = self.head(self.words(x))
            return y, {"more": y + 1}

    model = stt.binarize(Two(), levels=3)
    assert to_onnx(model, tmp_path / "net.onnx", torch.arange(4).reshape(2, 2)) < 1e-4
    with pytest.raises(InputError, match="cannot be written as ONNX") as caught:
        to_onnx(model, tmp_path / "other.onnx", "words")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "other.onnx").exists()


def test_onnx_gives_the_same_classes(tmp_path):
    pytest.importorskip("onnxruntime", reason="it runs the file")
    pytest.importorskip("onnxscript", reason="PyTorch's exporter is built on it")
    import onnxruntime

    model = digits_net(3)
    x = torch.randn(4, 1, 8, 8)
    assert to_onnx(model, tmp_path / "net.onnx", x) < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    more = torch.randn(9, 1, 8, 8)
    (theirs,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    assert theirs.argmax(1).tolist() == model(more).argmax(1).tolist()
    assert stt.find(model)  # the model itself is as it was


# what is refused


class Odd(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    "layer",
    [Odd(), nn.Conv2d(1, 1, 3, padding_mode="circular"), nn.MaxPool2d(2, ceil_mode=True), nn.Softplus()],
)
def test_layers_that_the_runtime_does_not_know(layer, tmp_path):
    with pytest.raises(InputError, match=r"layer 1 .*(packed nets do not know|cannot be packed)"):
        pack(nn.Sequential(nn.Identity(), layer), tmp_path / "net.bits")
    assert not list(tmp_path.iterdir())


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked():
    model = nn.Sequential(nn.Linear(4, 4))
    model[0].register_forward_hook(lambda layer, inputs, output: 2 * output)
    return model


def not_finite():
    model = nn.Sequential(nn.Linear(4, 4))
    nn.init.constant_(model[0].weight, np.nan)
    return model


@pytest.mark.parametrize(
    "make, about",
    [
        (lambda: Doubled(nn.Linear(4, 4)), "of its own"),
        (hooked, "layer 0 .*hooks"),
        (lambda: Odd(), "the model .*is no Sequential"),
        (lambda: nn.Sequential(fw.Quantised(fw.detached)), "give `example`"),
        (not_finite, "not finite"),
    ],
)
def test_nets_that_a_chain_of_layers_is_not(make, about, tmp_path):
    with pytest.raises(InputError, match=about):
        pack(make(), tmp_path / "net.bits")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    model = stt.binarize(nn.Sequential(nn.Linear(16, 4), nn.ReLU()), levels=3)
    pack(model, tmp_path / "net.bits")
    return tmp_path / "net.bits"


@pytest.mark.parametrize("keep", [0, 5, 14, 30, -1])
def test_a_file_that_is_cut_off(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(StoreError, match=r"net\.bits"):
        load_packed(file)


@pytest.mark.parametrize(
    "old, new",
    [
        (b'"shape": [4, 16]', b'"shape": [9, 16]'),
        (b'"shape": [4, 16]', b'"shape": [-4,16]'),
        (b'"shape": [4, 16]', b'"shape": [4,true'),
        (b'"bits": 2', b'"bits": 3'),
        (b'"levels": 3', b'"levels": 2'),
        (b'"scales": 1', b'"scales": 7'),
        (b'"kind": "linear"', b'"kind": "lambda"'),
        (b'"layers"', b'"lovers"'),
        (b"{", b"\xff"),
        (b"STERLINGBITS", b"SOMEONESBITS"),
    ],
)
def test_a_file_whose_claims_do_not_hold(file, old, new):
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    with pytest.raises(StoreError, match=r"net\.bits"):
        load_packed(file)


def test_a_shape_beyond_all_numbers_of_bytes(file):
    content = file.read_bytes()
    at = len(MAGIC) + HEADER.size
    (length,) = HEADER.unpack(content[len(MAGIC) : at])
    header = content[at : at + length].replace(b"[4, 16]", b"[4, 16, 1099511627775, 1099511627775]")
    file.write_bytes(MAGIC + HEADER.pack(len(header)) + header + content[at + length :])
    with pytest.raises(StoreError, match="ends before"):
        load_packed(file)


def test_any_damaged_byte_is_refused_or_harmless(file):
    content, random = file.read_bytes(), np.random.default_rng(0)
    for place in random.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        file.write_bytes(bytes(damaged))
        try:
            net = load_packed(file)
        except StoreError:
            continue
        assert repr(net) == "<PackedNet: linear, relu>"


def test_no_file_and_inputs_that_do_not_fit(file):
    with pytest.raises(StoreError, match="no file"):
        load_packed(file.with_name("none.bits"))
    net = load_packed(file)
    for bad in (np.zeros((2, 5)), np.zeros(16), 3, None, "image", [["image"]]):
        for call in (net, net.predict):
            with pytest.raises(InputError, match="inputs"):
                call(bad)


def test_a_padding_that_no_memory_holds_is_refused(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=60_000))
    pack(model, tmp_path / "net.bits")
    net = load_packed(tmp_path / "net.bits")
    with pytest.raises(SterlingError, match="padded images"):
        net(np.zeros((50, 1, 4, 4)))
