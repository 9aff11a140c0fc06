"""Each quantiser of the list: flips equal those counted by hand, and a decoded net uses the decoded codes."""

import numpy as np
import pytest
import torch

import sterling as st
import sterling.torch as stt
from sterling.errors import SterlingWarning
from sterling.torch.decoding import decoded_codes
from sterling.torch.taps import listen
from tests.unit.torch import quantisers

LEVELS = {
    "LSQ, 2 bits per channel": 4,
    "LSQ, 8 bits per tensor": 256,
    "centred binary": 2,
    "TTQ from .3 and .3": 3,
    "affine, 4 bits per channel": 16,
    "NF4": 16,
    "FP4": 15,
    "powers of two": 9,
    "fbgemm": 256,
    "ModelOpt INT4": 16,
    "LSQ depthwise": 16,
}


@pytest.mark.parametrize("name", [*quantisers.ROWS, *quantisers.OTHERS])
def test_flips_equal_those_counted_by_hand(name):
    model, codes = (quantisers.ROWS | quantisers.OTHERS)[name]()
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=5e-3)
    x, _ = quantisers.batch(0, next(model.parameters()).dtype)
    frozen = name == "LoRA on a frozen base"  # then there is nothing to watch
    monitor = None if frozen else stt.OrbitMonitor(model, optimizer, example=x)
    (weight,) = stt.find(model, example=x) if frozen else monitor.weights
    assert frozen == (not weight.trained and not weight.stored)
    assert weight.shape == codes().shape
    assert weight.levels == LEVELS.get(name, weight.levels)
    before, flips = codes().clone(), 0

    def after():
        nonlocal before, flips
        now = codes().clone()
        flips += int((now != before).sum())
        before = now

    quantisers.train(model, optimizer, after=after)
    if frozen:
        assert flips == 0
    else:
        assert flips > 100
        assert monitor.frame()["flips"].to_list() == [flips]
        for how, horizon in (("last", 0.0), ("mean", 16.0)):
            better = stt.decode(model, monitor, how=how, horizon=horizon)
            wanted = weight.dequantise(decoded_codes(monitor, 0, how, horizon)).float()
            used = [tap.value.float() for tap in listen(better, x) if tap.value.shape == wanted.shape]
            assert any(bool(((one - wanted).abs() <= 0.25 * weight.scale().abs()).all()) for one in used)
        assert better.changes.share > 0
        assert better.changes.tensors[0]["kept_as"] == "latents" or not name.startswith("LSQ")
    # Codes may be numbered in another way.
    pairs = torch.stack([before.flatten().long(), weight.codes().flatten().long()], 1).unique(dim=0)
    assert len(pairs) == before.unique().numel() == weight.codes().unique().numel()
    values = weight.values().float()
    assert torch.allclose(weight.dequantise(weight.codes()).float(), values, rtol=0.01, atol=1e-6)


def hidden(w):
    """LSQ of nine weights a channel, computed in NumPy, where nobody hears it round."""
    scale = w.detach().abs().mean((1, 2, 3), keepdim=True) / 2
    return w + (torch.from_numpy(np.clip(np.rint((w.detach() / scale).numpy()), -8, 7)) * scale - w).detach()


def test_codes_that_values_do_not_show_are_refused():
    torch.manual_seed(0)
    model = torch.nn.Conv2d(16, 16, 3, groups=16)
    model.forward = lambda x: torch.nn.functional.conv2d(x, hidden(model.weight), groups=16)
    with pytest.raises(st.InputError, match="give `codes`"):
        stt.find(model, example=torch.ones(1, 16, 5, 5))
    both = torch.nn.Sequential(model, stt.binarize(torch.nn.Conv2d(16, 2, 3)))
    with pytest.warns(SterlingWarning, match="left out.*give `codes`"):
        assert [one.name for one in stt.find(both, example=torch.ones(1, 16, 5, 5))] == ["1.weight"]
