"""Saved runs: what comes back is what went in, and a damaged file ends in a clear error."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.saved import VERSION
from sterling.dynamics.state import FLIP
from tests.support import assert_same_orbit


@pytest.fixture(scope="module")
def instance():
    return st.Problem(n=5, samples=30, noise=0.6).draw(0)


@pytest.fixture(scope="module")
def orbit(instance):
    return st.train(instance, 300)


@pytest.fixture
def path(orbit, tmp_path):
    file = tmp_path / "run.orbit"
    orbit.save(file)
    return file


def rewrite(path, *, header=None, **arrays):
    """Write the file again with some of its parts replaced."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    head = json.loads(parts["header.json"])
    head.update(header or {})
    parts["header.json"] = json.dumps(head).encode()
    for name, array in arrays.items():
        parts[f"{name.replace('walk_', 'walk-')}.npy"] = array if isinstance(array, bytes) else as_npy(array)
    with zipfile.ZipFile(path, "w") as new:
        for name, part in parts.items():
            new.writestr(name, part)


def as_npy(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


# ---------------------------------------------------------------------------------------- round trip


@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"record": ()},
        {"schedule": st.Table([1.0, 0.1, 0.0])},
        {"surrogate": "sigmoid", "steps": 30},
        {"init": np.array([1e-300, -1e100, 0.0, -0.0, 1.0])},
    ],
    ids=str,
)
def test_round_trip(instance, tmp_path, options):
    """All fields, to the last bit, also when the file is saved again."""
    orbit = st.train(instance, **{"steps": 200, **options})
    orbit.save(tmp_path / "a")
    back = st.Orbit.load(tmp_path / "a")
    assert_same_orbit(back, orbit)
    assert back.to_dict() == orbit.to_dict()
    assert back.engine == orbit.engine
    assert back.schedule == orbit.schedule
    if orbit.recorded:
        assert back.flips.dtype == FLIP
    back.save(tmp_path / "b")
    assert_same_orbit(st.Orbit.load(tmp_path / "b"), orbit)


def test_surrogates_of_ones_own(instance, tmp_path, registries):
    """The file holds the window; a smooth one is found by its name, which must be known where it is read."""
    wide = st.Surrogate("wide", window=(-0.25, 1.5))
    orbit = st.train(instance, 300, surrogate=wide)
    assert orbit.engine == "event"
    assert_same_orbit(orbit, st.train(instance, 300, surrogate=wide, engine="dense"))
    orbit.save(tmp_path / "a")
    assert_same_orbit(
        st.resume(st.Orbit.load(tmp_path / "a"), instance, steps=100), st.resume(orbit, instance, 100)
    )
    assert st.Orbit.load(tmp_path / "a").surrogate == "wide"

    bell = st.Surrogate("bell", slope=lambda x, xp: xp.exp(-x * x))
    orbit = st.train(instance, 30, surrogate=bell)
    assert orbit.engine == "dense"
    orbit.save(tmp_path / "b")
    with pytest.raises(st.CheckpointError, match=r"unknown surrogate 'bell'.*register it"):
        st.Orbit.load(tmp_path / "b")
    st.register(bell)
    assert_same_orbit(
        st.resume(st.Orbit.load(tmp_path / "b"), instance, 30), st.train(instance, 60, surrogate="bell")
    )


# ----------------------------------------------------------------------------------------- damage


def test_truncated_anywhere(path):
    """A crash of the machine or a full disk may cut a copy at any byte."""
    whole = path.read_bytes()
    for length in [0, 1, 4, 30, *range(50, len(whole), 211), len(whole) - 22, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(st.CheckpointError, match="damaged, truncated"):
            st.Orbit.load(path)


def test_any_byte_changed(path, orbit):
    """Each changed byte is found by a checksum, or lies where it changes nothing."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for index in rng.choice(len(whole), 500, replace=False):
        broken = bytearray(whole)
        broken[index] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        try:
            back = st.Orbit.load(path)
        except st.CheckpointError:
            continue
        assert_same_orbit(back, orbit)


# -------------------------------------------------------------------------------------- other files


def test_other_files(tmp_path):
    for content in (b"", b"hello", b"PK\x03\x04"):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(st.CheckpointError, match="/x is damaged"):
            st.Orbit.load(tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "y", "w") as archive:
        archive.writestr("header.json", '{"format": "other"}')
    with pytest.raises(st.CheckpointError, match="not a saved run"):
        st.Orbit.load(tmp_path / "y")
    for name in ("", "missing"):
        with pytest.raises(st.CheckpointError, match=str(tmp_path / name)):
            st.Orbit.load(tmp_path / name)


def test_other_versions(path):
    """Says which version it is, and which program reads it."""
    rewrite(path, header={"version": VERSION + 1, "sterling": "9.9"})
    with pytest.raises(st.CheckpointError, match=rf"version {VERSION + 1}.*: use sterling 9\.9"):
        st.Orbit.load(path)


# --------------------------------------------------------------------------------- contents


class Bomb:
    """Would write a file if it were ever unpickled."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


def test_nothing_is_unpickled(path, tmp_path):
    """An array of objects is a program; it must be refused before it runs."""
    trap = tmp_path / "trap"
    bombs = np.array([Bomb(trap)] * 5, dtype=object)
    for name in ("walk_latent", "gradient", "flips", "returns"):
        rewrite(path, **{name: as_npy(bombs, allow_pickle=True)})
        with pytest.raises(st.CheckpointError):
            st.Orbit.load(path)
    assert not trap.exists()


ARRAYS = {
    "shorter": {"walk_clock": np.zeros(15, np.int64)},
    "type": {"walk_latent": np.zeros(5, np.float32)},
    "tally": {"walk_tally": np.zeros(7, np.int64)},
    "cut": {"gradient": as_npy(np.zeros(5))[:-3]},
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit(path, name):
    """Types and shapes are checked: kernels would read past the end of anything shorter."""
    rewrite(path, **ARRAYS[name])
    with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
        st.Orbit.load(path)


def test_more_than_there_is_memory(path, monkeypatch):
    monkeypatch.setattr("sterling.base.resources.available_memory", lambda: 1000)
    with pytest.raises(st.CheckpointError, match=r"run\.orbit cannot be used: .* needs .* of memory"):
        st.Orbit.load(path)
