"""Data files: every format gives the same instance, and every bad file one clear sentence."""

import errno
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sterling import InputError, Instance, SterlingWarning, load_data

RNG = np.random.default_rng(7)
INPUTS = RNG.normal(size=(40, 3)).round(3)
LABELS = RNG.integers(0, 2, 40).astype(float)
EXPECTED = Instance(INPUTS, LABELS)


def table(label="label", place=3, names=("a", "b", "c")):
    columns = dict(zip(names, INPUTS.T, strict=True))
    frame = pl.DataFrame(columns)
    return frame.insert_column(place, pl.Series(label, LABELS))


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
        ("d.csv", table("y", 1), {}),
        ("d.csv", table("label", 0), {}),
        ("d.csv", table("Label", 1), {}),
        ("d.parquet", table("Y", 0), {}),
        ("d.csv", table("y", 1, ("a", "b", "Label")), {}),
        ("d.csv", table("diagnosis", 0), {"labels": "diagnosis"}),
        ("d.csv", table("diagnosis", 1), {"labels": 1}),
        ("d.csv", table("diagnosis", 2), {"labels": "-2"}),
        ("d.csv", table().write_csv(separator=";"), {}),
        ("d.csv", table().write_csv(separator="\t"), {}),
        ("d.csv", "\ufeff" + table().write_csv() + "\n\n", {}),
        ("d.csv", table().write_csv().replace(",", ", "), {}),
        ("d.csv", table().write_csv(line_terminator="\r\n"), {}),
        ("d.csv", table().with_columns(pl.col("label").cast(pl.Boolean)), {}),
        ("d.parquet", table(), {}),
        ("d.parquet", table("y", 1), {}),
        ("d.parquet", table().with_columns(pl.col("label").cast(pl.Boolean)), {}),
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


def test_options_reach_the_instance_and_origin_tells_them(tmp_path):
    path = write(tmp_path / "cells.csv", table())
    loaded = load_data(str(path), normalize="standard", precision="int32", readout=[1.0])
    expected = Instance(INPUTS, LABELS, normalize="standard", precision="int32")
    assert loaded.fingerprint == expected.fingerprint
    assert loaded.origin == {
        "file": "cells.csv",
        "normalize": "standard",
        "labels": "label",
        "columns": ["a", "b", "c"],
    }


def test_a_constant_column_is_kept_on_demand(tmp_path):
    path = write(
        tmp_path / "d.csv", table().with_columns(pl.lit(1.0).alias("bias")).select("bias", "a", "label")
    )
    assert load_data(path, constant="keep").n == 2
    with pytest.raises(InputError, match=r"feature 0 is 1 in every sample.*column 'bias'"):
        load_data(path)


GOOD = table().write_csv()
ROWS = GOOD.splitlines()


def with_row(number, text):
    """Return the good table with one row below the header replaced, counted from 1."""
    lines = list(ROWS)
    lines[number] = text
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "name, content, options, words",
    [
        ("d.txt", "a,b\n1,2\n", {}, "suffix '.txt'.*known are .npz, .npy, .csv, .parquet"),
        ("data", "a,b\n1,2\n", {}, "no suffix"),
        ("d.csv", "", {}, "is empty"),
        ("d.npz", b"", {}, "is empty"),
        ("d.npy", b"", {}, "is empty"),
        ("d.parquet", b"", {}, "is empty"),
        # not what the name says
        ("d.npz", GOOD, {}, "is no NumPy archive"),
        ("d.npy", GOOD, {}, "is no NumPy array"),
        ("d.parquet", GOOD, {}, "is no Parquet file"),
        ("d.csv", b"PAR1\0\1\2", {}, "is no CSV file.*binary"),
        ("d.csv", GOOD.encode("utf-16"), {}, "not in UTF-8"),
        ("d.csv", GOOD.replace("a,", "é,").encode("latin-1"), {}, "not in UTF-8"),
        # headers and columns
        ("d.csv", "a,b,label\n", {}, "no rows"),
        ("d.csv", "1,2,3\n4,5,6\n", {}, "starts with numbers.*column names"),
        ("d.csv", "label\n1\n", {}, "one column only, 'label'"),
        ("d.csv", "a b label\n1 2 3\n", {}, "one column only"),
        ("d.csv", "Label,Y\n1,2\n", {}, "columns 'Label' and 'Y'.*say which"),
        ("d.csv", ",a,y\n5,1,0\n7,2,1\n", {}, "column without a name, column 0 from 0: name it, or drop it"),
        ("d.csv", ",y\n0,0\n1,1\n", {}, "no inputs beside the labels"),
        ("d.csv", "label,y\n1,2\n", {}, "columns 'label' and 'y'.*say which"),
        ("d.csv", GOOD, {"labels": "lable"}, "no column 'lable': did you mean 'label'"),
        ("d.csv", GOOD, {"labels": "zzz"}, "no column 'zzz': it has 'a', 'b', 'c', 'label'"),
        ("d.csv", GOOD, {"labels": 4}, "no column 4: it has 4, counted from 0"),
        # values
        ("d.csv", with_row(5, "1,,3,0"), {}, "no value in column 'b', row 5.*fill the gap"),
        ("d.csv", with_row(5, "1,2,3,"), {}, "no value in the label column 'label', row 5"),
        ("d.csv", GOOD[: GOOD.rindex(",")] + "\n", {}, "row 40 \\(the last one: is the file cut off"),
        ("d.csv", with_row(3, "1,x7,3,0"), {}, "column 'b' holds text \\('x7' in row 3\\)"),
        ("d.csv", with_row(3, "1,NA,3,0"), {}, "holds text \\('NA' in row 3\\)"),
        ("d.csv", with_row(3, "1,2,3,0,9"), {}, "more fields than the header"),
        ("d.csv", with_row(3, '1,2,"3,0'), {}, "quotation mark"),
        ("d.csv", with_row(3, "1,nan,3,0"), {}, "inputs hold NaN at sample 2.*column 'b'"),
        ("d.csv", with_row(3, "1,1e999,3,0"), {}, "inputs hold infinity at sample 2"),
        ("d.csv", "a,kind\n1,M\n2,B\n3,M\n", {}, "'kind' holds 'B' and 'M': map one to 0 and the other"),
        ("d.csv", "a,kind\n1,M\n2,B\n3,X\n", {}, "'kind' holds text \\('M' in row 1\\): map its values"),
        ("d.csv", "a,y\n1,-1\n2,1\n", {}, "no unit can produce the label -1"),
        ("d.parquet", table().with_columns(pl.lit("x").alias("a")), {}, "column 'a' holds text"),
        ("d.parquet", table().with_columns(pl.lit(None).alias("a")), {}, "no value in column 'a', row 1"),
        ("d.parquet", pl.DataFrame({"a": [[1.0], [2.0]], "y": [0, 1]}), {}, "column 'a' has type List"),
        ("d.parquet", table().head(0), {}, "no rows"),
        # arrays
        ("d.npz", {"inputs": INPUTS}, {}, "no array 'labels', it holds inputs"),
        ("d.npz", {"x": INPUTS, "labels": LABELS}, {}, "no array 'inputs', it holds x, labels"),
        ("d.npz", {"inputs": INPUTS, "labels": LABELS[:9]}, {}, "labels have shape \\(9,\\)"),
        ("d.npz", {"inputs": INPUTS.astype(str), "labels": LABELS}, {}, "inputs has type <U"),
        ("d.npz", {"inputs": INPUTS, "labels": LABELS}, {"labels": 1}, "give the name of their array"),
        ("d.npz", {"inputs": INPUTS * 1j, "labels": LABELS}, {}, "inputs has type complex128"),
        ("d.npy", LABELS, {}, "shape \\(40,\\); give a table"),
        ("d.npy", LABELS[:, None], {}, "1 column, so no inputs"),
        ("d.npy", np.column_stack([INPUTS, LABELS]), {"labels": "label"}, "no column names"),
        ("d.npy", np.column_stack([INPUTS, LABELS]), {"labels": 7}, "no column 7: it has 4"),
        ("d.npy", np.empty((0, 3)), {}, "there are no samples"),
        ("d.csv", GOOD, {"normalize": "whiten!"}, "normalize is"),
        ("d.csv", GOOD, {"readout": "signs"}, "readout is 'signs'; data files take the numbers"),
        ("d.csv", GOOD, {"readout": [1.0, 2.0]}, "readout has shape"),
        ("d.csv", GOOD, {"precision": "int8"}, "int8"),
    ],
)  # fmt: skip
def test_a_bad_file_or_option_is_one_clear_sentence(tmp_path, name, content, options, words):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=words) as caught:
        load_data(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert name in message or "readout" in message


@pytest.mark.parametrize("first", (0, 1))
def test_a_nameless_column_that_numbers_the_rows_is_left_out(tmp_path, first):
    """As pandas writes one unless told otherwise."""
    frame = table().insert_column(0, pl.Series("", np.arange(40) + first))
    path = write(tmp_path / "d.csv", frame)
    with pytest.warns(SterlingWarning, match=r"d\.csv has a column without a name.*left out") as caught:
        found = load_data(path)
    assert caught[0].filename == __file__
    assert found.fingerprint == EXPECTED.fingerprint
    assert found.origin["columns"] == ["a", "b", "c"]


WIDE = [
    ("1e300,2,3,0", "feature 0 has the range .* column 'a'"),
    ("1e20,1e-20,3,0", "features 0 and 1 differ too much in scale.*column 'a', feature 1 is column 'b'"),
    ("1,2,3,1e200", "the labels reach .*the labels are 'label'"),
]


@pytest.mark.parametrize("row, words", WIDE)
def test_numbers_out_of_range_are_told_with_file_and_column(tmp_path, row, words):
    path = tmp_path / "d.csv"
    small = "".join(f"{0.1 * k},{1e-20 * k},{k},0.5\n" for k in range(1, 4))
    path.write_text(f"a,b,c,label\n{small}{row}\n")
    with pytest.raises(InputError, match=rf"d\.csv: .*{words}"):
        load_data(path)


def test_a_pipe_is_no_data_file(tmp_path):
    os.mkfifo(tmp_path / "d.csv")
    with pytest.raises(InputError, match="is a pipe: save what it gives in a file"):
        load_data(tmp_path / "d.csv")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*nothing\.csv"):
        load_data(tmp_path / "nothing.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load_data(tmp_path / "folder.csv")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    path = write(tmp_path / "d.csv", GOOD)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        load_data(path)


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
    for name, words in (
        ("d.npy", "pickled"),
        ("d.npz", "pickled"),
        ("raw.npz", "no NumPy archive"),
        ("raw.npy", "no NumPy array"),
    ):
        with pytest.raises(InputError, match=words):
            load_data(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["d.npz", "d.npy", "d.parquet"])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, name):
    contents = {
        "d.npz": {"inputs": INPUTS, "labels": LABELS},
        "d.npy": np.column_stack([INPUTS, LABELS]),
        "d.parquet": table(),
    }
    whole = write(tmp_path / name, contents[name]).read_bytes()
    for cut in (1, 5, 9, 40, 100, 130, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(InputError) as caught:
            load_data(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_damaged_archive_member_is_noticed(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, inputs=INPUTS, labels=LABELS)
    whole = bytearray(stream.getvalue())
    whole[300] ^= 0xFF  # inside the numbers: only the checksum tells
    path = write(tmp_path / "d.npz", bytes(whole))
    with pytest.raises(InputError, match="damaged or truncated"):
        load_data(path)


def test_an_archive_of_other_things_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("inputs", "no array")
        archive.writestr("labels", "no array")
    with pytest.raises(InputError, match="inputs has type bytes"):
        load_data(tmp_path / "d.npz")
