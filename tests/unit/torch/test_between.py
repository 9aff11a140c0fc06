"""Flips between checkpoints: against counts by hand, a monitor on the same run, and damaged files."""

import json
import zipfile
from itertools import pairwise

import numpy as np
import pytest
import torch

import sterling as st
import sterling.torch as stt
from tests.unit.torch import frameworks as fw
from tests.unit.torch.byhand import Record

SUFFIXES = (".safetensors", ".pt", ".npz")


def save(tensors, path):
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
        from safetensors.torch import save_file

        save_file(tensors, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: one.numpy() for name, one in tensors.items()})
    else:
        torch.save(tensors, path)
    return path


@pytest.fixture
def saved(tmp_path):
    """Save states in turn, and return their paths."""

    def all_of(states, suffix=".pt"):
        return [save(state, tmp_path / f"{step:03}{suffix}") for step, state in enumerate(states)]

    return all_of


def random_codes(steps=12, shape=(5, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.randint(-1, 2, shape, generator=generator, dtype=torch.int8)]
    for _ in range(steps):
        new = torch.randint(-1, 2, shape, generator=generator, dtype=torch.int8)
        codes.append(torch.where(torch.rand(shape, generator=generator) < 0.2, new, codes[-1]))
    return codes


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_counts_are_those_by_hand(saved, suffix):
    codes = random_codes()
    (row,) = stt.flips_between(saved([{"a.codes": one} for one in codes], suffix)).rows
    record = Record([one.flatten().tolist() for one in codes], [1.0] * 12, [-1, 0, 1])
    flips = record.flips()
    per_weight = [record.of(k) for k in range(35)]
    back = [sum(new == old for (_, old, _), (_, _, new) in pairwise(one)) for one in per_weight]
    assert (row["tensor"], row["weights"], row["levels"], row["checkpoints"]) == ("a.codes", 35, 3, 13)
    assert row["flips"] == len(flips)
    assert row["undone"] == sum(back) == record.undone(within=100)
    assert row["to_zero"] == sum(new == 0 for *_, new in flips)
    assert row["from_zero"] == sum(old == 0 for _, _, old, _ in flips)
    assert row["never_moved"] == record.never_moved()
    assert row["undecided"] == pytest.approx(sum(map(bool, back)) / 35)
    assert row["history"] == pytest.approx([sum(t == s for t, *_ in flips) / 35 for s in range(1, 13)])
    assert row["churn"] == row["history"][-1]


@pytest.mark.parametrize(
    "make, quantizer",
    [
        (lambda: stt.binarize(fw.latents(torch.nn.Linear(64, 48))), "sign"),
        (lambda: stt.binarize(fw.latents(torch.nn.Linear(64, 48)), levels=3), "absmean"),
        (
            lambda: stt.binarize(fw.latents(torch.nn.Linear(64, 48)), levels=3, per="channel"),
            "absmean:per=channel",
        ),
        (lambda: fw.torchao("int4"), "int4:group=32"),
        (lambda: fw.torchao("int2", group=64), "int2"),
    ],
)
def test_a_monitor_of_the_same_run_counts_the_same(saved, make, quantizer):
    torch.manual_seed(0)
    model = torch.nn.Sequential(make(), torch.nn.ReLU(), torch.nn.LayerNorm(48))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    monitor = stt.OrbitMonitor(model, optimizer)
    states = [{name: one.clone() for name, one in model.state_dict().items()}]
    for _ in range(15):
        x = torch.randn(16, 64)
        optimizer.zero_grad()
        (model(x) - x[:, :48]).square().mean().backward()
        optimizer.step()
        states.append({name: one.clone() for name, one in model.state_dict().items()})
    (row,) = stt.flips_between(saved(states), quantizer).frame().to_dicts()
    counted = monitor.frame().to_dicts()[0]
    assert row["flips"] > 0
    for name in ("tensor", "weights", "levels", "flips", "undone", "never_moved"):
        assert row[name] == counted[name]


def test_a_checkpoint_of_a_whole_run(saved):
    more = {"f": torch.eye(2).to(torch.float8_e5m2), "s": torch.eye(2).to_sparse()}
    codes = [(one + 1).to(torch.uint16) for one in random_codes(1)]
    files = saved([{"model": {"a": one} | more, "optimizer": {"b": one}, "step": 3} for one in codes])
    report = stt.flips_between([*files, files[0]])
    assert [row["tensor"] for row in report.rows] == ["a"]
    assert report.rows[0]["flips"] == 2 * report.rows[0]["undone"] > 0
    assert stt.flips_between(files, "sign").rows[0]["flips"] == 0
    assert "changed between the last two of 3 checkpoints" in str(report)
    assert json.loads(json.dumps(report.rows))[0]["weights"] == 35


def test_a_name_that_fits_nothing_is_refused(saved):
    files = saved([{"a.w": torch.randn(4, 4)}] * 2)
    with pytest.raises(st.InputError, match=r"include names '.*', but .* no such layer or tensor"):
        stt.flips_between(files, "sign", include="*.1.nothing")
    with pytest.raises(st.InputError, match="two or more"):
        stt.flips_between(files[:1], "sign")


@pytest.mark.parametrize("name", ["1", "*1.w*", "1.parametrizations.weight.original"])
def test_names_to_include_or_exclude_are_those_of_the_report(saved, name):
    net = stt.binarize(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)))
    files = saved([net.state_dict()] * 2)
    for given, left in [({}, ["0.weight", "1.weight"]), ({"exclude": [name]}, ["0.weight"])]:
        assert [row["tensor"] for row in stt.flips_between(files, "sign", **given).rows] == left
    assert [row["tensor"] for row in stt.flips_between(files, "sign", include=[name]).rows] == ["1.weight"]


def bomb(path):
    """An array that claims more numbers than there are."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("w.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|i1", "fortran_order": False, "shape": (10**12,)}
        )


def deflated(path):
    """A small file that unpacks to a large one."""
    plain = save({"w": torch.zeros(3000, 3000, dtype=torch.int8)}, path.with_suffix(".plain"))
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('code of the file was run')",)


CODES = {"w": torch.ones(3, 3, dtype=torch.int8)}


@pytest.mark.parametrize(
    "name, make, about",
    [
        ("a.pt", lambda path: None, "no file"),
        ("a.txt", lambda path: None, "unknown format"),
        ("a.pt", lambda path: path.write_bytes(b"x" * 99), "damaged"),
        ("a.npz", lambda path: path.write_bytes(b"x" * 99), "damaged"),
        ("a.safetensors", lambda path: path.write_bytes(b"\xff" * 9), "cannot be read"),
        ("a.npz", bomb, "cannot be read"),
        ("a.pt", deflated, "cannot be read"),
        ("a.pt", lambda path: save({"w": Evil()}, path), "more than a state dict"),
        ("a.pt", lambda path: save({"w": CODES["w"][0, 0].expand(10**9)}, path), "larger than its data"),
        ("a.pt", lambda path: torch.save(CODES["w"], path), "by name: save model.state_dict()"),
        ("a.pt", lambda path: save({"w": CODES["w"][:2]}, path), "has the shape (2, 3)"),
        ("a.npz", lambda path: save({"v": CODES["w"]}, path), "has no tensor w"),
    ],
)
def test_each_wrong_file_is_one_sentence(tmp_path, name, make, about):
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    first = save(CODES, tmp_path / "first.pt")
    make(tmp_path / name)
    for read in (
        lambda path: stt.flips_between([first, path]),
        lambda path: stt.verify(stt.binarize(torch.nn.Linear(3, 3)), path),
    ):
        with pytest.raises(st.InputError) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert about in str(caught.value)
        if about in ("has the shape (2, 3)", "has no tensor w"):
            break


@pytest.mark.parametrize(
    "tensor, quantizer, about",
    [
        (CODES["w"], "sign", "no tensor of floating"),
        (CODES["w"], "int9", "int4:group=32"),
        (torch.full((4, 6), torch.nan), "sign", "not finite"),
        (torch.ones(4, 6), "int4:group=4", "^groups of 4 do not divide the rows of 6 of the tensor w"),
    ],
)
def test_each_wrong_quantiser_or_tensor_is_one_sentence(saved, tensor, quantizer, about):
    with pytest.raises(st.InputError, match=about) as caught:
        stt.flips_between(saved([{"w": tensor}] * 2), quantizer)
    assert "\n" not in str(caught.value)
