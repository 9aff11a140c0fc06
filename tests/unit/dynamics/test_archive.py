"""Saved runs: what comes back is what went in, and a damaged or hostile file ends in a clear error."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import re
import zipfile

import numpy as np
import pytest

import sterling as st
from sterling.dynamics import archive, walk
from sterling.dynamics.archive import FORMAT, VERSION
from sterling.dynamics.train import check_end
from sterling.dynamics.walk import FLIP
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


def rewrite(path, *, header=None, text=None, drop=(), compression=zipfile.ZIP_STORED, **arrays):
    """Write the file again with some of its parts replaced."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    head = json.loads(parts["header.json"])
    head.update(header or {})
    parts["header.json"] = json.dumps(head).encode() if text is None else text
    for name, array in arrays.items():
        parts[f"{name.replace('walk_', 'walk-')}.npy"] = array if isinstance(array, bytes) else as_npy(array)
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, part in parts.items():
            if name not in drop:
                new.writestr(name, part)


def as_npy(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def part_of(path, name):
    with zipfile.ZipFile(path) as archive:
        return np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")))


# ---------------------------------------------------------------------------------------- round trip


@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"record": ()},
        {"steps": 1},
        {"schedule": st.Constant(0.1)},
        {"schedule": st.Table([1.0, 0.1, 0.0])},
        {"schedule": st.Power(1 / 3, 0.7)},
        {"surrogate": "sigmoid", "steps": 30},
        {"engine": "dense", "steps": 30},
        {"init": np.array([1e-300, -1e100, 0.0, -0.0, 1.0])},
    ],
    ids=str,
)
def test_round_trip(instance, tmp_path, options):
    """All fields, to the last bit, and a file that is saved again is the same but for nothing."""
    made = st.train(instance, **{"steps": 200, **options})
    made.save(tmp_path / "a")
    back = st.Orbit.load(tmp_path / "a")
    assert_same_orbit(back, made)
    assert back.to_dict() == made.to_dict()
    assert back.engine == made.engine
    assert back.schedule == made.schedule
    if made.recorded:
        assert back.flips.dtype == FLIP
    back.save(tmp_path / "b")
    assert_same_orbit(st.Orbit.load(tmp_path / "b"), made)


@pytest.mark.parametrize("clean", (True, False))
def test_saved_loaded_resumed_and_saved_again(tmp_path, clean):
    """The life of a checkpoint, also where a part of the run has no flips at all."""
    data = st.Problem(n=5, samples=150, noise=0.0 if clean else 0.5).draw(0)
    orbit = st.train(data, 200)
    for _ in range(4):
        orbit.save(tmp_path / "run")
        orbit = st.resume(st.Orbit.load(tmp_path / "run"), data, steps=200)
    orbit.save(tmp_path / "run")
    assert_same_orbit(st.Orbit.load(tmp_path / "run"), st.train(data, 1000))


def test_without_a_teacher(instance, tmp_path):
    free = st.Instance(instance.inputs, instance.labels)
    made = st.train(free, 300)
    made.save(tmp_path / "a")
    back = st.Orbit.load(tmp_path / "a")
    assert back.reference_kind == "lowest risk seen"
    assert_same_orbit(st.resume(back, free, steps=200), st.train(free, 500))


def test_surrogates_of_ones_own(instance, tmp_path, registries):
    """The file holds the window; a smooth one is found by its name, which must be known where it is read."""
    wide = st.Surrogate("wide", window=(-0.25, 1.5))
    made = st.train(instance, 300, surrogate=wide)
    assert made.engine == "event"
    assert_same_orbit(made, st.train(instance, 300, surrogate=wide, engine="dense"))
    made.save(tmp_path / "a")
    assert_same_orbit(
        st.resume(st.Orbit.load(tmp_path / "a"), instance, steps=100), st.resume(made, instance, 100)
    )
    assert st.Orbit.load(tmp_path / "a").surrogate == "wide"

    bell = st.Surrogate("bell", slope=lambda x, xp: xp.exp(-x * x))
    made = st.train(instance, 30, surrogate=bell)
    assert made.engine == "dense"
    made.save(tmp_path / "b")
    with pytest.raises(st.CheckpointError, match=r"unknown surrogate 'bell'.*register it"):
        st.Orbit.load(tmp_path / "b")
    st.register(bell)
    assert_same_orbit(
        st.resume(st.Orbit.load(tmp_path / "b"), instance, 30), st.train(instance, 60, surrogate="bell")
    )


def test_names_of_files(orbit, tmp_path):
    """A name is taken as it is; a file there is replaced; strings do as well as paths."""
    (tmp_path / "run").write_text("something else")
    orbit.save(str(tmp_path / "run"))
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    assert_same_orbit(st.Orbit.load(str(tmp_path / "run")), orbit)


def test_a_folder_that_does_not_exist(orbit, tmp_path):
    with pytest.raises(st.StoreError, match=r"cannot write .*nowhere"):
        orbit.save(tmp_path / "nowhere" / "run")


def test_a_failed_save_leaves_the_old_file(orbit, path, monkeypatch):
    """Half a file never stands under the final name, nor is one left beside it."""
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(st.StoreError, match=r"cannot write .*: No space left on device"):
        orbit.save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# ----------------------------------------------------------------------------------------- damage


def test_truncated_anywhere(path):
    """A crash of the machine or a full disk may cut a copy at any byte."""
    whole = path.read_bytes()
    for length in [0, 1, 4, 30, *range(50, len(whole), 211), len(whole) - 22, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(st.CheckpointError, match="damaged, truncated or no saved run"):
            st.Orbit.load(path)


def test_any_byte_changed(path, orbit):
    """Each changed byte is found by a checksum, or lies where it changes nothing."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), 500, replace=False):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        try:
            back = st.Orbit.load(path)
        except st.CheckpointError:
            continue
        assert_same_orbit(back, orbit)


def test_bytes_added(path, orbit):
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 100)
    with contextlib.suppress(st.CheckpointError):
        assert_same_orbit(st.Orbit.load(path), orbit)


# -------------------------------------------------------------------------------------- other files


@pytest.mark.parametrize("content", (b"", b"hello", b"PK\x03\x04", b"\x93NUMPY", b"\0" * 4096), ids=repr)
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(st.CheckpointError, match=r"/x is damaged, truncated or no saved run"):
        st.Orbit.load(tmp_path / "x")


def test_no_file(tmp_path):
    with pytest.raises(st.CheckpointError, match=r"there is no file .*/x"):
        st.Orbit.load(tmp_path / "x")


def test_a_folder(tmp_path):
    with pytest.raises(st.CheckpointError, match=str(tmp_path)):
        st.Orbit.load(tmp_path)


def test_foreign_archives(tmp_path):
    """Any other zip, among them NumPy's own, and one with a header that says nothing."""
    np.savez(tmp_path / "x.npz", a=np.arange(3))
    with pytest.raises(st.CheckpointError, match=r"x\.npz"):
        st.Orbit.load(tmp_path / "x.npz")
    for text in ("{}", "[]", "3", '"sterling-orbit"', "null", '{"format": "other"}'):
        with zipfile.ZipFile(tmp_path / "y", "w") as archive:
            archive.writestr("header.json", text)
        with pytest.raises(st.CheckpointError, match="no saved run of this sterling"):
            st.Orbit.load(tmp_path / "y")


@pytest.mark.parametrize("version", (0, VERSION + 1, "1", None, 1e99))
def test_other_versions(path, version):
    """Says which version it is, and which program reads it."""
    rewrite(path, header={"version": version, "sterling": "9.9"})
    with pytest.raises(
        st.CheckpointError,
        match=rf"format version {re.escape(repr(version))}.*reads {VERSION}: use sterling 9\.9",
    ):
        st.Orbit.load(path)


def test_another_instance(path, instance):
    other = st.Problem(n=5, samples=31, noise=0.6).draw(0)
    with pytest.raises(st.CheckpointError, match=r"another instance .*30 samples.*31 samples"):
        st.resume(st.Orbit.load(path), other, steps=10)
    slightly = st.Instance(instance.inputs, instance.labels + 2.0**-8, teacher=instance.teacher)
    with pytest.raises(st.CheckpointError, match="another instance"):
        st.resume(st.Orbit.load(path), slightly, steps=10)


# --------------------------------------------------------------------------------- hostile contents


class Bomb:
    """Would write a file if it were ever unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return open, (self.place, "w")


def test_nothing_is_unpickled(path, tmp_path):
    """An array of objects is a program; it must be refused before it runs."""
    trap = tmp_path / "trap"
    bombs = np.array([Bomb(trap)] * 5, dtype=object)
    for name in ("walk_latent", "gradient", "flips", "returns"):
        rewrite(path, **{name: as_npy(bombs, allow_pickle=True)})
        with pytest.raises(st.CheckpointError):
            st.Orbit.load(path)
    rewrite(path, gradient=pickle.dumps(Bomb(trap)))
    with pytest.raises(st.CheckpointError):
        st.Orbit.load(path)
    assert not trap.exists()


ARRAYS = {
    "clock": {"walk_clock": np.zeros(15, np.int64)},
    "clock-type": {"walk_clock": np.zeros(16, np.int32)},
    "latent-shape": {"walk_latent": np.zeros((5, 1))},
    "latent-longer": {"walk_latent": np.zeros(6)},
    "latent-scalar": {"walk_latent": np.float64(0)},
    "latent-type": {"walk_latent": np.zeros(5, np.float32)},
    "latent-order": {"walk_latent": np.zeros(5, ">f8")},
    "signs": {"walk_signs": np.zeros(5, np.int8)},
    "reference": {"walk_reference": np.full(5, 2, np.int8)},
    "start": {"start_latent": np.zeros(5, np.int8)},
    "gradient": {"gradient": np.zeros(4)},
    "flips-type": {"flips": np.zeros(3, np.int64)},
    "flips-padded": {"flips": np.zeros(3, np.dtype(FLIP.descr, align=True))},
    "flips-high": {"flips": np.array([(1, 5, 1)], FLIP)},
    "flips-negative": {"flips": np.array([(1, -1, 1)], FLIP)},
    "flips-late": {"flips": np.array([(301, 1, 1)], FLIP)},
    "flips-few": {"flips": np.zeros(0, FLIP)},
    "flips-sign": {"flips": np.array([(1, 1, 0)], FLIP)},
    "flips-back": {"flips": np.array([(2, 1, 1), (1, 1, -1)], FLIP)},
    "since": {"walk_since": np.full(5, 301)},
    "plus": {"walk_plus": np.full(5, -1)},
    "balance": {"walk_balance": np.full(5, 1e9)},
    "since-mass": {"walk_since_mass": np.full(5, -1.0)},
    "mass": {"walk_mass": np.array([-1.0, 0.0])},
    "latents-of-other-signs": {"walk_latent": np.full(5, 1.0)},
    "negative-times": {"returns": np.array([-1])},
    "long-times": {"sojourns": np.array([301])},
    "returns": {"returns": np.zeros((2, 2), np.int64)},
    "sojourns": {"sojourns": np.zeros(2)},
    "short": {"gradient": as_npy(np.zeros(5))[:-3]},
    "long": {"gradient": as_npy(np.zeros(5)) + b"\0"},
    "empty": {"gradient": b""},
    "no-npy": {"gradient": b"hello, this is no array"},
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit(path, name):
    """Types and shapes are checked: kernels would read past the end of anything shorter."""
    rewrite(path, **ARRAYS[name])
    with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
        st.Orbit.load(path)


def test_shapes_that_no_memory_holds(path):
    """A header may promise any size; it must not be believed."""
    for shape in ((10**12,), (2**62,), (-1,), (2**70,), (10**6, 10**6)):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
        rewrite(path, walk_latent=header.getvalue() + b"\0" * 40)
        with pytest.raises(st.CheckpointError):
            st.Orbit.load(path)


@pytest.mark.parametrize(
    "large, parts, reason",
    [
        ("header.json", {"text": b" " * (archive._HEADER_BYTES + 1)}, "header is longer"),
        ("walk-latent.npy", {"walk_latent": b"\0" * 10**8}, "walk-latent is larger"),
        ("returns.npy", {"returns": b"\0" * 10**8}, "returns is larger"),
    ],
)
def test_what_a_file_claims_is_bounded_before_it_is_read(path, monkeypatch, large, parts, reason):
    """Blanks pack a thousandfold; what would be unpacked is known beforehand."""
    rewrite(path, compression=zipfile.ZIP_DEFLATED, **parts)
    plain = zipfile.ZipFile.open

    def opening(self, name, *more, **options):
        assert getattr(name, "filename", name) != large
        return plain(self, name, *more, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", opening)
    with pytest.raises(st.CheckpointError, match=reason):
        st.Orbit.load(path)


def test_more_than_there_is_memory(path, monkeypatch):
    monkeypatch.setattr("sterling.base.resources.available_memory", lambda: 1000)
    with pytest.raises(st.CheckpointError, match=r"run\.orbit cannot be used: .* needs .* of memory"):
        st.Orbit.load(path)


CELLS = {  # of the clock
    "endless": (walk.ANCHOR, -(2**63)),
    "anchor": (walk.ANCHOR, 301),
    "events": (walk.EVENTS, 10**9),
    "flips": (walk.FLIPS, -1),
    "evaluations": (walk.EVALUATIONS, -1),
    "distance": (walk.DISTANCE, 5),
    "visits": (walk.VISITS, 10**15),
    "first": (walk.FIRST_HIT, 302),
    "occupied": (walk.OCCUPIED, 301),
    "arrived": (walk.ARRIVED, -2),
    "left": (walk.LEFT, 2**62),
    "seeking": (walk.SEEKING, 2),
    "best": (walk.BEST, -1),
    "current": (walk.CURRENT, -2),
    "returns": (walk.RETURNS, 10**9),
    "sojourns": (walk.SOJOURNS, -5),
    "read": (walk.READ, -1),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_clock_that_no_run_has(path, name):
    """A step of −2⁶³ would have the kernels loop for ever."""
    clock = part_of(path, "walk-clock").copy()
    cell, value = CELLS[name]
    clock[cell] = value
    rewrite(path, walk_clock=clock)
    with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
        st.Orbit.load(path)


def test_a_proof_is_not_believed(tmp_path):
    """Nothing in a file says that a run is over: that follows from its gradient, which the data confirm."""
    instance, path = st.Problem(n=5, samples=60, noise=0.8).draw(0), tmp_path / "run.orbit"
    orbit = st.train(instance, 300)
    orbit.save(path)
    assert not orbit.certified
    rewrite(path, header={"absorbed": True, "stalled": True, "zero_risk": True})
    assert not st.Orbit.load(path).certified
    check_end(st.Orbit.load(path), instance)
    rewrite(path, gradient=-1.0 * orbit.signs)
    forged = st.Orbit.load(path)
    with pytest.raises(st.CheckpointError, match="contradicts its data"):
        check_end(forged, instance)
    assert_same_orbit(st.resume(forged, instance, steps=50), st.train(instance, 350))


def test_another_teacher_than_that_of_the_data(instance, path):
    orbit = st.Orbit.load(path)
    clock = part_of(path, "walk-clock").copy()
    clock[walk.DISTANCE] = orbit.n - clock[walk.DISTANCE]
    rewrite(path, walk_reference=-orbit.reference, walk_clock=clock)
    with pytest.raises(st.CheckpointError, match="another teacher"):
        st.resume(st.Orbit.load(path), instance, steps=50)


HEADERS = {
    "negative-steps": {"steps": -5},
    "no-steps": {"steps": None},
    "float-steps": {"steps": 10.5},
    "planned": {"planned": "many"},
    "recorded-to": {"flips_complete_to": -1},
    "surrogate": {"surrogate": "relu"},
    "surrogate-list": {"surrogate": []},
    "surrogate-unknown": {"surrogate": {"name": "zebra", "window": None}},
    "surrogate-smooth": {"surrogate": {"name": "sigmoid", "window": None}},
    "surrogate-window": {"surrogate": {"name": "relu", "window": ["0", None]}},
    "engine": {"engine": "warp"},
    "schedule": {"schedule": {"kind": "power", "rate": -1, "exponent": 0.5}},
    "schedule-none": {"schedule": None},
    "schedule-more": {"schedule": {"kind": "constant", "rate": 1, "code": "x"}},
    "seconds": {"seconds": "soon"},
    "seconds-list": {"seconds": []},
    "instance": {"instance": {}},
    "instance-list": {"instance": []},
    "instance-none": {"instance": None},
    "n-negative": {"instance": {"n": -5, "m": 1, "samples": 30}},
    "n-text": {"instance": {"n": "5", "m": 1, "samples": 30}},
    "n-other": {"instance": {"n": 6, "m": 1, "samples": 30}},
    "no-samples": {"instance": {"n": 5, "m": 1, "samples": 0}},
    "samples-text": {"instance": {"n": 5, "m": 1, "samples": "30"}},
    "planned-less": {"planned": 299},
    "too-many-steps": {"steps": 10**13, "planned": 10**13},
    "recorded-beyond": {"flips_complete_to": 301},
    "seconds-negative": {"seconds": -1.0},
    "readout": {"instance": {"n": 5, "m": 1, "samples": 30, "readout": [0.0]}},
    "readout-short": {"instance": {"n": 5, "m": 1, "samples": 30, "readout": []}},
    "readout-infinite": {"instance": {"n": 5, "m": 1, "samples": 30, "readout": [1e999]}},
    "n-beyond-all": {"instance": {"n": 10**9, "m": 1, "samples": 30, "readout": [1.0]}},
    "anchor-beyond-the-end": {"steps": 1, "planned": 1, "flips_complete_to": 1},
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_make_no_sense(path, name):
    rewrite(path, header=HEADERS[name])
    with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
        st.Orbit.load(path)


@pytest.mark.parametrize(
    "key", ("steps", "planned", "schedule", "surrogate", "engine", "recorded", "instance", "seconds")
)
def test_headers_that_lack_something(path, key):
    with zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read("header.json"))
    del header[key]
    rewrite(path, text=json.dumps(header).encode())
    with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
        st.Orbit.load(path)


@pytest.mark.parametrize(
    "text", (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000), ids=lambda b: repr(b[:6])
)
def test_headers_that_are_no_json(path, text):
    rewrite(path, text=text)
    with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
        st.Orbit.load(path)


def test_missing_members(path):
    """Nothing in the file is optional."""
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert len(names) > 10
    for name in names:
        path.write_bytes(whole)
        rewrite(path, drop=(name,))
        with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
            st.Orbit.load(path)


def test_values_that_are_not_finite(path):
    """Every array of floats holds finite numbers, or infinity where the next flip never comes."""
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name != "header.json"]
    for name in names:
        path.write_bytes(whole)
        array = part_of(path, name).copy()
        if array.dtype == np.float64:
            array[0] = np.nan
            rewrite(path, **{name.replace("-", "_", 1) if name.startswith("walk") else name: array})
            with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
                st.Orbit.load(path)


@pytest.mark.parametrize("bits, name", [(0x1, "encrypted"), (0x20, "patched"), (0x40, "encryption")])
def test_flags_of_the_archive(path, bits, name):
    """Members that zipfile does not read end in the same error, not in one of zipfile's own."""
    whole = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = whole.find(mark)
        while at >= 0:
            whole[at + place] |= bits
            at = whole.find(mark, at + 4)
    path.write_bytes(whole)
    with pytest.raises(st.CheckpointError, match=f"run.orbit .*{name}"):
        st.Orbit.load(path)


@pytest.mark.parametrize("method", (8, 12, 14, 99))
def test_compressed_rubbish(path, method):
    """A method of compression that does not fit the bytes, or that nobody knows."""
    whole = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = whole.find(mark)
        while at >= 0:
            whole[at + place] = method
            at = whole.find(mark, at + 4)
    path.write_bytes(whole)
    with pytest.raises(st.CheckpointError, match=r"run\.orbit"):
        st.Orbit.load(path)


def test_a_compressed_file_will_do(path, orbit):
    """Somebody may pack a file again with other tools."""
    rewrite(path, compression=zipfile.ZIP_DEFLATED)
    assert_same_orbit(st.Orbit.load(path), orbit)


def test_the_format_is_named(path):
    with zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read("header.json"))
    assert header["format"] == FORMAT == "sterling-run"
    assert header["sterling"] == st.__version__
    assert part_of(path, "walk-latent").dtype == np.float64
