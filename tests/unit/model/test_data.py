"""Data files: every format gives the same instance, and every bad file one clear sentence."""

import errno
import io
import os
import pickle
import tracemalloc
import warnings
import zipfile
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
        ("d.csv", "\ufeff", {}, "is empty"),
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
        ("d.csv", with_row(3, "1,nan,3,0"), {}, "has nan in column 'b', row 3"),
        ("d.csv", with_row(3, "1,1e999,3,0"), {}, "has inf in column 'b', row 3"),
        ("d.csv", "a,kind\n1,M\n2,B\n3,M\n", {}, "'kind' holds 'B' and 'M': map one to 0 and the other"),
        ("d.csv", "a,kind\n1,M\n2,B\n3,X\n", {}, "'kind' holds text \\('M' in row 1\\): map its values"),
        ("d.csv", "a,y\n1,-1\n2,1\n", {}, "the labels hold -1"),
        ("d.parquet", table().with_columns(pl.lit("x").alias("a")), {}, "column 'a' holds text"),
        ("d.parquet", table().with_columns(pl.lit(None).alias("a")), {}, "no value in column 'a', row 1"),
        ("d.parquet", pl.DataFrame({"a": [[1.0], [2.0]], "y": [0, 1]}), {}, "column 'a' has type List"),
        ("d.parquet", table().head(0), {}, "no rows"),
        # arrays
        ("d.npz", {"inputs": INPUTS}, {}, "no array 'labels', it holds inputs"),
        ("d.npz", {"x": INPUTS, "labels": LABELS}, {}, "no array 'inputs', it holds x, labels"),
        ("d.npz", {"inputs": INPUTS, "labels": LABELS[:9]}, {}, "labels must have shape .* not \\(9,\\)"),
        ("d.npz", {"inputs": INPUTS.astype(str), "labels": LABELS}, {}, "the array 'inputs' has type <U"),
        ("d.npz", {"inputs": INPUTS, "labels": LABELS}, {"labels": 1}, "give the name of their array"),
        ("d.npz", {"inputs": INPUTS * 1j, "labels": LABELS}, {}, "the array 'inputs' has type complex"),
        ("d.npy", LABELS, {}, "shape \\(40,\\); give a table"),
        ("d.npy", LABELS[:, None], {}, "1 column, so no inputs"),
        ("d.npy", np.column_stack([INPUTS, LABELS]), {"labels": "label"}, "no column names"),
        ("d.npy", np.column_stack([INPUTS, LABELS]), {"labels": 7}, "no column 7: it has 4"),
        ("d.npy", np.empty((0, 3)), {}, "there are no samples"),
        ("d.csv", GOOD, {"normalize": "whiten!"}, "normalize is"),
        ("d.csv", GOOD, {"readout": "signs"}, "readout is 'signs'; data files take the numbers"),
        ("d.csv", GOOD, {"readout": [1.0, 2.0]}, "readout must have shape"),
        ("d.csv", GOOD, {"precision": "int8"}, "int8"),
    ],
)  # fmt: skip
def test_a_bad_file_or_option_is_one_clear_sentence(tmp_path, name, content, options, words):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=words) as caught:
        load_data(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert name in message or "readout" in message or "normalize" in message


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
    ("1,2,inf,0", "has inf in column 'c', row 4"),
    ("1,2,3,nan", "has nan in the label column 'label', row 4"),
]


@pytest.mark.parametrize("row, words", WIDE)
def test_numbers_out_of_range_are_told_with_file_and_column(tmp_path, row, words):
    path = tmp_path / "d.csv"
    small = "".join(f"{0.1 * k},{1e-20 * k},{k},0.5\n" for k in range(1, 4))
    path.write_text(f"a,b,c,label\n{small}{row}\n")
    with pytest.raises(InputError, match=rf"d\.csv:? .*{words}"):
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


def test_no_altered_byte_of_a_parquet_file_ends_the_process(tmp_path):
    """A page that claims to hold −20 values made Polars ask for 2⁶¹ bytes, which ends the process."""
    path = tmp_path / "d.parquet"
    table().write_parquet(path)
    whole, refused = path.read_bytes(), 0
    for place in range(4, 40):  # the header of the first page, and what follows
        altered = bytearray(whole)
        altered[place] ^= 1  # the sign of every number of a header
        path.write_bytes(altered)
        try:
            load_data(path)
        except InputError:
            refused += 1
    assert refused > 10


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
    with pytest.raises(InputError, match="damaged or truncated NumPy archive"):
        load_data(tmp_path / "d.npz")


# ------------------------------------------------------------------ files that claim, leak or confuse


def npy(array=None, *, header=None, version=b"\1\0", data=None):
    """Return an .npy file, perhaps with another header or other data than its own."""
    stream = io.BytesIO()
    np.save(stream, np.column_stack([INPUTS, LABELS]) if array is None else array)
    whole = stream.getvalue()
    length = int.from_bytes(whole[8:10], "little")
    head = whole[10 : 10 + length] if header is None else header.encode()
    size = len(head).to_bytes(2 if version == b"\1\0" else 4, "little")
    return whole[:6] + version + size + head + (whole[10 + length :] if data is None else data)


def npz(compression=zipfile.ZIP_DEFLATED, **members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content if isinstance(content, bytes) else npy(content))
    return stream.getvalue()


def header(shape, descr="'<f8'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


def patched(content, **fields):
    """Return an archive with other bits in the directory entries of its members."""
    content = bytearray(content)
    for signature, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = content.find(signature)
        while at >= 0:
            if "flags" in fields:
                content[at + flags] |= fields["flags"]
            if "method" in fields:
                content[at + flags + 2] = fields["method"]
            at = content.find(signature, at + 4)
    return bytes(content)


ARCHIVE = npz(inputs=INPUTS, labels=LABELS)
CLAIMS = {
    "a shape beyond any": ("d.npy", npy(header=header(f"({2**64}, 1)")), "1,280 bytes for"),
    "a shape beyond the memory": ("d.npy", npy(header=header("(10**13, 4)")), "damaged"),
    "a negative shape": ("d.npy", npy(header=header("(-40, -4)")), "shape \\(-40, -4"),
    "a shape of words": ("d.npy", npy(header=header("('a', 4)")), "shape is not valid"),
    "a header that does not end": ("d.npy", npy(header="{'descr': '<f8', 'shape': ("), "damaged"),
    "a header of nothing": ("d.npy", npy(header="{}"), "damaged"),
    "a header of brackets": ("d.npy", npy(header="(" * 9000), "damaged"),
    "a header of many bytes": ("d.npy", npy(header=header("(40, 4)") + " " * 20_000), "[Hh]eader"),
    "a version to come": ("d.npy", npy(version=b"\x09\0"), "version 9"),
    "bytes after the table": ("d.npy", npy() + npy(), "2,688 bytes for"),
    "objects": ("d.npy", npy(header=header("(40, 4)", "'|O'")), "pickled"),
    "fields": ("d.npy", npy(header=header("(160,)", "[('a', '<f8')]")), "the table has type"),
    "an archive with a password": ("d.npz", patched(ARCHIVE, flags=1), "encrypted"),
    "an archive of another packer": ("d.npz", patched(ARCHIVE, method=9), "method is not one"),
    "an archive of LZMA": ("d.npz", npz(zipfile.ZIP_LZMA, inputs=INPUTS, labels=LABELS), "method is not one"),
    "bytes after an array": ("d.npz", npz(inputs=npy(INPUTS) + b"x", labels=LABELS), "961 bytes for"),
    "two label columns": ("d.csv", "a,label,label\n1,0,0\n2,1,1\n", "two columns named 'label'"),
    "two columns by blanks": ("d.csv", "a, a,y\n1,0,0\n2,1,1\n", "two columns named 'a'"),
    "two columns by quotes": ("d.csv", 'y,"a",a\n1,0,0\n2,1,1\n', "two columns named 'a'"),
    "two nameless columns": ("d.csv", ",,y\n0,0,0\n1,1,1\n", "two columns without a name"),
    "two Parquet columns": ("d.parquet", table("a ", 1), "two columns named 'a'"),
    "carriage returns": ("d.csv", GOOD.replace("\n", "\r"), "carriage returns"),
    "JSON": ("d.csv", '[{"a": 1,\n "label": 0}]', "is no CSV file"),
    "HTML": ("d.csv", "<html>\n<table>a,b</table>", "is no CSV file"),
    "no column": ("d.npy", np.empty((4, 0)), "0 columns"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_file_claims(tmp_path, name):
    """Each ended in another exception, in silence or in a wrong sentence before."""
    suffix, content, words = CLAIMS[name]
    path = write(tmp_path / suffix, content)
    with pytest.raises(InputError, match=words) as caught:
        load_data(path)
    assert "\n" not in str(caught.value)
    assert suffix in str(caught.value)


@pytest.mark.parametrize("name", ("d.npz", "d.npy", "d.parquet", "d.csv"))
def test_what_is_in_a_file_is_held_against_the_memory_before_it_is_read(tmp_path, name, monkeypatch):
    """A few kilobytes on the disk, 64 MB in the memory."""
    rows, n = 100_000, 79
    if name == "d.npz":
        content = npz(inputs=np.zeros((rows, n), np.int8), labels=np.zeros(rows, np.int8))
    elif name == "d.npy":
        content = npy(np.zeros((2000, n + 1), np.int8))
    elif name == "d.csv":
        content = "a,b,label\n" + "0,1,0\n" * 20_000
    else:
        content = pl.DataFrame({f"x{k}": np.zeros(rows) for k in range(n + 1)})
    path = write(tmp_path / name, content)
    monkeypatch.setattr(resources, "available_memory", lambda: path.stat().st_size + 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(CapacityError, match=rf"{name} needs"):
            load_data(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", ("csv", "parquet", "npy"))
def test_names_that_are_not_utf8(tmp_path, suffix):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xfc." + suffix.encode()))
    content = np.column_stack([INPUTS, LABELS]) if suffix == "npy" else table()
    write(tmp_path / f"d.{suffix}", content).rename(path)
    assert load_data(path).fingerprint == EXPECTED.fingerprint
    path.write_bytes(b"a")
    with pytest.raises(InputError) as caught:
        load_data(path)
    str(caught.value).encode()


def test_a_folder_is_told_whatever_its_name(tmp_path):
    for path in (tmp_path, "."):
        with pytest.raises(InputError, match="is a folder"):
            load_data(path)


def test_a_masked_readout_is_refused(tmp_path):
    path = write(tmp_path / "d.csv", table())
    with pytest.raises(InputError, match="masked"):
        load_data(path, readout=np.ma.masked_array([1.0], [True]))


def test_names_are_kept(tmp_path):
    assert load_data(write(tmp_path / "d.csv", table())).feature_names == ("a", "b", "c")
    assert load_data(write(tmp_path / "d.npy", np.column_stack([INPUTS, LABELS]))).feature_names is None


def mutated(content, rng):
    """Return a copy with a few bytes changed, cut out, doubled or put in."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at, length = int(rng.integers(len(content))), int(rng.integers(1, 9))
        match int(rng.integers(5)):
            case 0:
                content[at] ^= 1 << int(rng.integers(8))
            case 1:
                content[at : at + length] = rng.bytes(length)
            case 2:
                del content[at : at + length]
            case 3:
                content[at:at] = content[at : at + length]
            case 4:
                content[at : at + length] = rng.choice([b"\xff", b"\0", b"9", b","]) * length
    return bytes(content)


@pytest.mark.parametrize("name", ("d.npz", "d.npy", "d.csv", "d.parquet"))
def test_altered_files_end_in_one_sentence(tmp_path, name):
    """Seeded mutations; what still loads holds as many numbers as the file has room for."""
    rng = np.random.default_rng(18)
    few = table().head(6)
    whole = {
        "d.npz": lambda path: path.write_bytes(npz(inputs=INPUTS[:6], labels=LABELS[:6])),
        "d.npy": lambda path: path.write_bytes(npy(np.column_stack([INPUTS, LABELS])[:6])),
        "d.csv": few.write_csv,
        "d.parquet": few.write_parquet,
    }
    path = tmp_path / name
    whole[name](path)
    good, loaded, refused = path.read_bytes(), 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SterlingWarning)
        for _ in range(75):
            path.write_bytes(mutated(good, rng))
            try:
                found = load_data(path)
            except SterlingError as problem:
                refused.append(str(problem))
                continue
            loaded += 1
            assert found.inputs.size <= 40
            assert np.isfinite(found.inputs).all()
    assert loaded < 60
    assert not [text for text in refused if "\n" in text or name not in text]
