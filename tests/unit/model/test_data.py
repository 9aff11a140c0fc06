"""Data files: every format gives the same instance, and every bad file an error with its cause."""

import errno
import os
import pickle
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sterling import CapacityError, InputError, Instance, SterlingError, SterlingWarning, load_data
from sterling.base import resources

RNG = np.random.default_rng(7)
INPUTS = RNG.normal(size=(40, 3)).round(3)
LABELS = RNG.integers(0, 2, 40).astype(float)
EXPECTED = Instance(INPUTS, LABELS)


def table(label="label", index=3, names=("a", "b", "c")):
    columns = dict(zip(names, INPUTS.T, strict=True))
    frame = pl.DataFrame(columns)
    return frame.insert_column(index, pl.Series(label, LABELS))


def write(path, content):
    if isinstance(content, pl.DataFrame):
        content.write_parquet(path) if path.suffix == ".parquet" else content.write_csv(path)
    elif isinstance(content, np.ndarray):
        np.save(path, content, allow_pickle=content.dtype == object)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "name, content, options",
    [
        ("d.npz", {"inputs": INPUTS, "labels": LABELS}, {}),
        ("d.npz", {"inputs": INPUTS, "diagnosis": LABELS, "other": np.zeros(2)}, {"labels": "diagnosis"}),
        ("D.NPZ", {"inputs": INPUTS[:, None, :], "labels": LABELS.astype(bool)}, {}),
        ("d.npy", np.column_stack([INPUTS, LABELS]), {}),
        ("d.npy", np.column_stack([LABELS, INPUTS]), {"labels": 0}),
        ("d.npy", np.column_stack([INPUTS[:, :2], LABELS, INPUTS[:, 2]]), {"labels": "-2"}),
        ("d.csv", table(), {}),
        ("d.csv", table("anything"), {}),
        ("d.csv", table("Label", 1), {}),
        ("d.parquet", table("Y", 0), {}),
        ("d.csv", table("y", 1, ("a", "b", "Label")), {}),
        ("d.csv", table("diagnosis", 0), {"labels": "diagnosis"}),
        ("d.csv", table().write_csv(separator=";"), {}),
        ("d.csv", "\ufeff" + table().write_csv() + "\n\n", {}),
        ("d.csv", table().write_csv().replace(",", ", "), {}),
        ("d.csv", table().write_csv(line_terminator="\r\n"), {}),
        ("d.csv", table().with_columns(pl.col("label").cast(pl.Boolean)), {}),
        ("d.parquet", table(), {}),
    ],
)
def test_every_format_gives_the_same_instance(tmp_path, name, content, options):
    if name == "D.NPZ":  # np.savez would add a suffix
        write(tmp_path / "d.npz", content).rename(tmp_path / name)
    else:
        write(tmp_path / name, content)
    assert load_data(tmp_path / name, **options).fingerprint == EXPECTED.fingerprint


def test_an_archive_may_hold_units_readout_and_teacher(tmp_path):
    inputs = RNG.normal(size=(30, 2, 4))
    readout, teacher = np.array([1.0, -0.5]), np.array([1, -1, -1, 1])
    labels = RNG.normal(size=30)
    path = write(
        tmp_path / "d.npz", {"inputs": inputs, "labels": labels, "readout": readout, "teacher": teacher}
    )
    loaded = load_data(path)
    expected = Instance(inputs, labels, readout, teacher)
    assert loaded.fingerprint == expected.fingerprint
    assert loaded.teacher is not None
    assert loaded.teacher.tolist() == teacher.tolist()
    assert load_data(path, readout=[2.0, 1.0]).readout.tolist() == [2.0, 1.0]


def test_a_constant_column_is_kept_on_demand(tmp_path):
    frame = table().with_columns(pl.lit(1.0).alias("bias")).select("bias", "a", "label")
    path = write(tmp_path / "d.csv", frame)
    assert load_data(path, constant="keep").n == 2
    with pytest.raises(InputError, match=r"feature 0 is 1 in every sample.*column 'bias'"):
        load_data(path)


GOOD = table().write_csv()


def with_row(number, text):
    """Return the good table with one row below the header replaced, counted from 1."""
    lines = GOOD.splitlines()
    lines[number] = text
    return "\n".join(lines) + "\n"


ARRAYS = {"inputs": INPUTS, "labels": LABELS}
TABLE = np.column_stack([INPUTS, LABELS])
SLIPS = [
    ("d.txt", "a,b\n1,2\n", {}, "unsupported file type '.txt'.*npz"),
    ("d.csv", "", {}, "empty"),
    # another format than the name says
    ("d.npz", GOOD, {}, "not a .npz file"),
    ("d.csv", b"PAR1\0\1\2", {}, "binary data"),
    ("d.csv", GOOD.encode("utf-16"), {}, "UTF-8"),
    # headers and columns
    ("d.csv", "a,b,label\n", {}, "no rows"),
    ("d.csv", "1,2,3\n4,5,6\n", {}, "starts with numbers.*column names"),
    ("d.csv", "a b label\n1 2 3\n", {}, "one column only"),
    ("d.csv", "a,label,label\n1,0,0\n2,1,1\n", {}, "two columns named 'label'"),
    ("d.parquet", table("a ", 1), {}, "two columns named 'a'"),
    ("d.csv", GOOD, {"labels": "lable"}, "'lable': did you mean 'label'"),
    ("d.csv", GOOD, {"labels": 4}, "no column 4"),
    # values
    ("d.csv", with_row(5, "1,,3,0"), {}, "no value in column 'b', row 5"),
    ("d.csv", GOOD[: GOOD.rindex(",")] + "\n", {}, "row 40 .*cut off"),
    ("d.csv", with_row(3, "1,x7,3,0"), {}, "column 'b' holds text \\('x7' in row 3\\)"),
    ("d.csv", with_row(3, '1,2,"3,0'), {}, "quotation mark"),
    ("d.csv", with_row(3, "1,nan,3,0"), {}, "nan in column 'b', row 3"),
    ("d.csv", "a,kind\n1,M\n2,B\n3,M\n", {}, "label column 'kind' holds text.*map it to 0 and 1"),
    ("d.csv", "a,y\n1,-1\n2,1\n", {}, "-1"),
    ("d.parquet", table().with_columns(pl.lit("x").alias("a")), {}, "column 'a' has type String"),
    # arrays
    ("d.npz", {"inputs": INPUTS}, {}, "no array 'labels'.*inputs"),
    ("d.npz", ARRAYS | {"labels": LABELS[:9]}, {}, "labels .*shape"),
    ("d.npz", ARRAYS | {"inputs": INPUTS.astype(str)}, {}, "inputs .*real numbers"),
    ("d.npy", LABELS, {}, "shape \\(40,\\); give a table"),
    ("d.npy", TABLE, {"labels": "label"}, "no column names"),
    # options
    ("d.csv", GOOD, {"readout": "signs"}, "readout must"),
]  # fmt: skip


@pytest.mark.parametrize("name, content, options, words", SLIPS)
def test_a_bad_file_or_option_is_one_clear_sentence(tmp_path, name, content, options, words):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=words) as caught:
        load_data(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert name in message or "readout" in message


@pytest.mark.parametrize("first", (0, 1))
def test_a_nameless_column_that_numbers_the_rows_is_left_out(tmp_path, first):
    """The index that pandas writes by default."""
    frame = table().insert_column(0, pl.Series("", np.arange(40) + first))
    path = write(tmp_path / "d.csv", frame)
    with pytest.warns(SterlingWarning, match="column without a name") as caught:
        found = load_data(path)
    assert caught[0].filename == __file__
    assert found.fingerprint == EXPECTED.fingerprint
    assert found.feature_names == ("a", "b", "c")


WIDE = [
    ("1e300,2,3,0", "feature 0 has the range .* column 'a'"),
    ("1e20,1e-20,3,0", "features 0 and 1 differ too much in scale.*column 'a', feature 1 is column 'b'"),
    ("1,2,3,1e200", "the labels reach .*the labels are 'label'"),
]


@pytest.mark.parametrize("row, words", WIDE)
def test_numbers_out_of_range_are_named_by_file_and_column(tmp_path, row, words):
    path = tmp_path / "d.csv"
    small = "".join(f"{0.1 * k},{1e-20 * k},{k},0.5\n" for k in range(1, 4))
    path.write_text(f"a,b,c,label\n{small}{row}\n")
    with pytest.raises(InputError, match=rf"d\.csv:? .*{words}"):
        load_data(path)


def test_what_is_no_readable_file(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    path = write(tmp_path / "d.csv", GOOD)
    monkeypatch.setattr(Path, "open", refuse)
    causes = {"nothing": "no file", "folder": "is a folder", "pipe": "a pipe", "d": "Permission denied"}
    for name, cause in causes.items():
        with pytest.raises(InputError, match=cause):
            load_data(path.with_stem(name))


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_nothing_is_ever_unpickled(tmp_path):
    mark = tmp_path / "mark"
    objects = np.array([Trap(mark)] * 4, dtype=object)
    np.save(tmp_path / "d.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "d.npz", inputs=objects, labels=LABELS)
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Trap(mark)))
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Trap(mark)))
    for name in ("d.npy", "d.npz", "raw.npz", "raw.npy"):
        with pytest.raises(InputError, match=name):
            load_data(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize("name, content", [("d.npz", ARRAYS), ("d.parquet", table())])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, name, content):
    whole = write(tmp_path / name, content).read_bytes()
    for cut in (1, 9, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(InputError, match=name) as caught:
            load_data(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_text_column_of_parquet_is_not_read(tmp_path, monkeypatch):
    """1,200 copies of a text of 1 MB are a file of a few hundred bytes, and 1.2 GB once read (W6)."""
    monkeypatch.setattr("sterling.model.data.split", None)  # what takes the columns as read
    path = tmp_path / "d.parquet"
    frame = pl.DataFrame({"x": [0.0, 1.0] * 600, "y": [0, 1] * 600})
    frame.with_columns(pl.lit("a" * 10**6).alias("t")).write_parquet(path)
    with pytest.raises(InputError, match="column 't' has type String"):
        load_data(path)


@pytest.mark.parametrize("name", ("d.npz", "d.npy", "d.parquet", "d.csv"))
def test_the_memory_that_a_file_takes_is_estimated_before_it_is_read(tmp_path, name, monkeypatch):
    """A few kilobytes on the disk, 64 MB in the memory."""
    rows, n = 100_000, 79
    if name == "d.npz":
        path = tmp_path / name
        np.savez_compressed(path, inputs=np.zeros((rows, n), np.int8), labels=np.zeros(rows, np.int8))
    elif name == "d.npy":
        path = write(tmp_path / name, np.zeros((2000, n + 1), np.int8))
    elif name == "d.csv":
        path = write(tmp_path / name, "a,b,label\n" + "0,1,0\n" * 20_000)
    else:
        path = write(tmp_path / name, pl.DataFrame({f"x{k}": np.zeros(rows) for k in range(n + 1)}))
    monkeypatch.setattr(resources, "available_memory", lambda: path.stat().st_size + 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(CapacityError, match=rf"{name} needs"):
            load_data(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_words_of_polars_on_a_damaged_file_are_not_shown(tmp_path, monkeypatch, capfd):
    def panic(*given, **options):
        os.write(2, b"thread 'main' panicked")
        raise pl.exceptions.PanicException("called `Option::unwrap()`")

    monkeypatch.setattr(pl, "scan_parquet", panic)
    with pytest.raises(InputError, match="it is damaged"):
        load_data(write(tmp_path / "d.parquet", table()))
    assert capfd.readouterr().err == ""


def mutated(content, rng):
    """Return a copy with a few bytes changed, cut out, doubled or put in."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at, length = int(rng.integers(len(content))), int(rng.integers(1, 9))
        old = content[at : at + length]
        content[at : at + length] = (rng.bytes(length), b"", 2 * old, b"9" * length)[int(rng.integers(4))]
    return bytes(content)


@pytest.mark.parametrize("name", ("d.npz", "d.npy", "d.csv"))
def test_altered_files_end_in_one_sentence(tmp_path, name):
    """Seeded mutations; what still loads holds as many numbers as the file has room for."""
    rng = np.random.default_rng(18)
    few = table().head(6)
    whole = {"d.npz": {"inputs": INPUTS[:6], "labels": LABELS[:6]}, "d.npy": TABLE[:6], "d.csv": few}
    path = write(tmp_path / name, whole[name])
    good, loaded, refused = path.read_bytes(), 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SterlingWarning)
        for _ in range(40):
            path.write_bytes(mutated(good, rng))
            try:
                found = load_data(path)
            except SterlingError as problem:
                refused.append(str(problem))
                continue
            loaded += 1
            assert found.inputs.size <= 40
            assert np.isfinite(found.inputs).all()
    assert loaded < 32
    assert not [text for text in refused if "\n" in text or name not in text]
