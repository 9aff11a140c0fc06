"""The store: whole or absent shards, nothing twice, damage seen and named."""

import contextlib
import io
import json
import os
import shutil
import warnings
from hashlib import blake2b

import numpy as np
import polars as pl
import pytest

import sterling as st
from sterling.study import Cell, Store, Study, fit_store, replay, run, shards, status
from sterling.study import store as store_module
from sterling.study.shards import FORMAT, encode, frame_of, merge, schema_of
from sterling.study.trial import Batch, run_batch

STUDY = Study(n=[6, 8], samples=[12, 30], trials=6, steps=300, seed=4)
FIRST, SECOND = STUDY.cells[:2]
KIND = STUDY.kind
STORED = list(schema_of(KIND))


def changed(row, **changes):
    """Return a row in which some columns are others."""
    return tuple(changes.get(name, value) for name, value in zip(STORED, row, strict=True))


def forge(store, rows):
    """Put rows into a shard of the store as nobody checks them, with a right digest; return its name."""
    name, data = encode(frame_of(KIND, rows), KIND, store.study.identity)
    (store.folder / "trials" / name).write_bytes(data)
    return name


@pytest.fixture(scope="module")
def finished():
    """Rows of two cells, six trials each."""
    return {cell.key: run_batch(STUDY.seed, None, Batch(cell, np.arange(6))) for cell in (FIRST, SECOND)}


@pytest.fixture
def store(tmp_path, finished):
    """A store with three shards."""
    made = Store(tmp_path / "s", STUDY)
    made.add(finished[FIRST.key][:3])
    made.add(finished[FIRST.key][3:])
    made.add(finished[SECOND.key])
    return made


def shard_paths(store):
    return sorted((store.folder / "trials").iterdir())


def test_rows_come_back_as_they_went(store, finished):
    rows = [changed(row, cell=cell.key) for cell in (FIRST, SECOND) for row in finished[cell.key]]
    got = store.trials()
    assert got.select(STORED).sort("cell", "trial").equals(frame_of(KIND, rows).sort("cell", "trial"))
    for cell in (FIRST, SECOND):
        (content,) = got.filter(cell=cell.key).select(list(cell.content)).unique().to_dicts()
        assert content == cell.content


def test_a_trial_in_two_shards_counts_once(store, finished):
    slower = STORED.index("seconds")
    store.add(changed(row, seconds=row[slower] + 1000.0) for row in finished[FIRST.key])  # by another process
    assert len(store.trials()) == 12
    assert store.counts("optimal")["trials"].to_list() == [6, 6]
    assert (store.trials(["cell", "trial", "seconds"])["seconds"] < 1000).all()


def test_rows_that_contradict_each_other_are_an_error(store, finished):
    row = finished[FIRST.key][0]
    store.add([changed(row, visits=row[STORED.index("visits")] + 1)])
    with pytest.raises(st.StoreError, match=rf"{FIRST.key}-0 differ in visits"):
        store.trials()


def test_merging_does_not_depend_on_the_order(finished):
    frames = [frame_of(KIND, finished[key]) for key in finished]
    one = encode(merge(frames), KIND, STUDY.identity)
    two = encode(merge([*frames[::-1], frames[0]]), KIND, STUDY.identity)
    assert one == two


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_shard_is_left_out_with_a_warning(store, keep):
    broken = shard_paths(store)[0]
    lost = int(broken.name.split("-")[1])
    broken.write_bytes(broken.read_bytes()[:keep])
    with pytest.warns(st.SterlingWarning, match=rf"{broken.name}: it is damaged or cut off"):
        assert len(store.trials()) == 12 - lost
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(store.trials()) == 12 - lost  # told once


def test_a_flipped_bit_is_seen(store):
    broken = shard_paths(store)[0]
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    with pytest.warns(st.SterlingWarning, match="damaged"):
        store.trials()


def test_lost_trials_are_run_again(store):
    broken = shard_paths(store)[0]
    broken.write_bytes(b"")
    with pytest.warns(st.SterlingWarning, match="damaged"):
        outcome = run(STUDY, store.folder)
    assert outcome.reason == "complete"
    assert outcome.done == 24
    with pytest.warns(st.SterlingWarning, match="damaged"):
        assert Store(store.folder).counts("optimal")["trials"].to_list() == [6] * 4


@pytest.mark.parametrize(
    "name", ["notes.txt", "train-3-abc.parquet", f"train-2-{'0' * 32}.parquet", "copy of a shard.parquet"]
)
def test_a_stray_file_is_named_and_left_alone(store, name):
    stray = store.folder / "trials" / name
    shutil.copy(shard_paths(store)[0], stray)
    with pytest.warns(st.SterlingWarning, match=name):
        assert len(store.trials()) == 12
    assert stray.exists()


def test_a_shard_of_another_study_is_left_out(store, tmp_path):
    other = Store(tmp_path / "other", Study(n=6, samples=12, trials=2, steps=300, seed=9))
    name = other.add(run_batch(9, None, Batch(FIRST, np.array([0, 1]))))
    shutil.copy(other.folder / "trials" / name, store.folder / "trials" / name)
    with pytest.warns(st.SterlingWarning, match="another seed"):
        assert len(store.trials()) == 12


def test_a_parquet_file_of_another_make_is_left_out(store):
    about = {"format": FORMAT, "study": STUDY.identity, "kind": "train", "version": "1"}
    stream = io.BytesIO()
    pl.DataFrame({"cell": ["a"], "trial": [1]}).write_parquet(stream, metadata=about)
    digest = blake2b(stream.getvalue(), digest_size=16).hexdigest()
    (store.folder / "trials" / f"train-1-{digest}.parquet").write_bytes(stream.getvalue())
    with pytest.warns(st.SterlingWarning, match="other columns"):
        assert len(store.trials()) == 12


IMPOSSIBLE = {
    "another spelling of the cell": {"cell": json.dumps(FIRST.to_dict())},
    "a cell that cannot be": {"cell": FIRST.text.replace('"n":6', '"n":-6')},
    "a cell of another kind": {"cell": Cell("landscape", FIRST.problem).text},
    "no cell at all": {"cell": None},
    "a cell like a well": {"cell": "[" * 100_000},
    "a huge number": {"trial": 10**10},
    "a negative number": {"trial": -1},
    "no number": {"trial": None},
    "another verdict": {"verdict": "LIES"},
    "no verdict": {"verdict": None},
    "more than everything": {"occupancy": 5.0},
    "not a number": {"occupancy": float("nan")},
    "fewer than no visits": {"visits": -3},
    "a formula": {"version": "=HYPERLINK(1)"},
}


@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_rows_leave_their_shard_out_and_stop_nothing(store, finished, change):
    """Whoever can write into the folder can make a shard with a right digest."""
    forge(store, [changed(finished[SECOND.key][0], **change)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", st.SterlingWarning)  # a run does not read all columns
        assert run(STUDY, store.folder, threads=1).done == 24
    with pytest.warns(st.SterlingWarning, match="the file is left out"):
        assert len(Store(store.folder).trials()) == 24


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_shard_with_a_right_digest_is_left_out(store, seed):
    path = shard_paths(store)[0]
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(data), 8):
        data[place] ^= int(rng.integers(1, 256))
    rows = path.name.split("-")[1]
    digest = blake2b(bytes(data), digest_size=16).hexdigest()
    path.write_bytes(data)
    path.rename(path.with_name(f"train-{rows}-{digest}.parquet"))
    with (
        warnings.catch_warnings(),
        contextlib.suppress(st.StoreError),
    ):  # values may be possible, and contradict
        warnings.simplefilter("ignore", st.SterlingWarning)
        assert len(store.trials()) <= 12 + int(rows)


def test_a_page_that_claims_the_impossible_is_not_read(store):
    """Polars would ask for 2⁶¹ bytes, and the process would end."""
    path = shard_paths(store)[0]
    whole = path.read_bytes()
    rows, refused = path.name.split("-")[1], 0
    for place in range(190, 260):
        data = bytearray(whole)
        data[place] ^= 1  # the sign of every number of a header
        other = path.with_name(f"train-{rows}-{blake2b(data, digest_size=16).hexdigest()}.parquet")
        other.write_bytes(data)
        try:
            shards.open_shard(other, KIND, STUDY.identity).rows(STORED)
        except st.StoreError:
            refused += 1
    assert refused > 5


def test_text_that_would_fill_the_memory_is_not_unpacked(store, finished, monkeypatch):
    """One long text in many rows takes next to nothing in the file."""
    row = changed(finished[SECOND.key][0], version="1" + "0" * 10_000)
    forge(store, [changed(row, trial=number, seconds=number / 7) for number in range(2000)])
    monkeypatch.setattr(shards, "available_memory", lambda: 10_000_000)
    with pytest.warns(st.SterlingWarning, match="more than there is memory"):
        assert len(store.trials()) == 12


def test_a_pipe_with_the_name_of_a_shard_is_not_waited_for(store):
    os.mkfifo(store.folder / "trials" / f"train-2-{'0' * 32}.parquet")
    with pytest.warns(st.SterlingWarning, match="no regular file"):
        assert len(store.trials()) == 12
    os.mkfifo(store.folder / "pipe.toml")
    with pytest.raises(st.InputError, match="is a pipe"):
        Study.from_toml(store.folder / "pipe.toml")


def test_a_name_that_promises_other_rows_is_not_believed(store):
    path = shard_paths(store)[0]
    head, rows, tail = path.name.split("-")
    path.rename(path.with_name(f"{head}-{int(rows) + 7}-{tail}"))
    with pytest.warns(st.SterlingWarning, match="another number of rows"):
        assert len(store.trials()) < 12


def test_small_shards_of_our_own_are_merged(store):
    before = store.trials().sort("cell", "trial")
    for _ in range(2):
        store._gather()
        assert len(shard_paths(store)) == 1
        assert store.trials().sort("cell", "trial").equals(before)


def test_many_small_shards_are_merged_as_they_come(store, finished, monkeypatch):
    monkeypatch.setattr(store_module, "_MANY", 4)
    name = store.add(finished[SECOND.key][:1])
    assert len(shard_paths(store)) == 1
    assert not (store.folder / "trials" / name).exists()
    assert len(store.trials()) == 12


def test_shards_of_another_process_are_left_where_they_are(store, finished):
    before = shard_paths(store)
    other = Store(store.folder)
    other._gather()
    assert shard_paths(store) == before
    for row in finished[SECOND.key]:
        other.add([row])
    other._gather()
    assert set(before) == set(shard_paths(store))  # its one shard is equal to one that was there
    assert len(store.trials()) == 12


def test_remains_of_killed_writers_are_cleared_away_and_nothing_else(store):
    left = [store.folder / ".sterling-a.part", store.folder / "trials/.sterling-0.part"]
    other = store.folder / ".notes.part"
    for path in (*left, other):
        path.touch()
        os.utime(path, (0, 0))
    store._tidy()
    assert other.exists()
    assert not any(path.exists() for path in left)


def test_a_merge_into_one_of_its_own_sources_loses_nothing(store, finished):
    store._gather()
    (whole,) = shard_paths(store)
    store.add(finished[FIRST.key][:2])  # contained in the large one
    store._gather()
    assert shard_paths(store) == [whole]
    assert len(store.trials()) == 12


def test_a_shard_merged_away_under_a_reader_is_found_in_its_new_place(store, monkeypatch):
    real, calls = store_module.Store._read, []

    def read(self, name, columns):
        if not calls:
            calls.append(name)
            store._gather()
        return real(self, name, columns)

    monkeypatch.setattr(store_module.Store, "_read", read)
    assert len(Store(store.folder).trials()) == 12


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(st.StoreError, match=r"holds no study\.toml"):
        Store(tmp_path)


def test_a_folder_of_another_study_is_refused(store):
    with pytest.raises(st.StoreError, match="seed 4, this one has seed 5"):
        Store(store.folder, Study(n=6, samples=12, seed=5))


def test_a_damaged_study_file_is_named(store):
    (store.folder / "study.toml").write_text("n =")
    with pytest.raises(st.StoreError, match=r"cannot be read: .*no valid TOML"):
        Store(store.folder)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_export(store, tmp_path, kind):
    path = store.export(tmp_path / f"all.{kind}")
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet}.get(kind)
    rows = read(path).to_dicts() if read else json.loads(path.read_text())
    assert len(rows) == 12
    assert rows[0]["n"] in (6, 8)
    assert list(rows[0]) == store.columns


def test_an_unknown_export_or_column_is_refused(store, tmp_path):
    with pytest.raises(st.InputError, match="kind of export is 'xls'"):
        store.export(tmp_path / "all.xls")
    with pytest.raises(st.InputError, match="column of trials is 'speed'"):
        store.trials(["speed"])


def test_an_empty_store_has_no_rows(tmp_path):
    made = Store(tmp_path / "Öre ≥ 🜚", STUDY)
    for kind in ("csv", "parquet"):
        path = made.export(tmp_path / f"ä.{kind}")
        read = pl.read_csv(path) if kind == "csv" else pl.read_parquet(path)
        assert (len(read), tuple(read.columns)) == (0, tuple(made.columns))
    assert json.loads(made.export(tmp_path / "ä.json").read_text()) == []
    assert made.trials().is_empty()
    assert made.counts("optimal").is_empty()


def test_contradicting_rows_stop_no_run(store, finished):
    row = finished[FIRST.key][0]
    forge(store, [changed(row, visits=row[STORED.index("visits")] + 1)])
    assert run(STUDY, store.folder).reason == "complete"
    with pytest.raises(st.StoreError, match="altered program"):
        Store(store.folder).trials()


@pytest.mark.parametrize(
    "make", [Store, run, lambda name: Study.from_toml(name), lambda name: Store(name, STUDY)]
)
def test_names_that_are_too_long_are_told_in_a_sentence(tmp_path, make):
    with pytest.raises(st.SterlingError) as caught:
        make(tmp_path / ("n" * 300))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("wrong", [3, None, object(), 1.5])
def test_what_is_no_folder_is_refused(wrong):
    for make in (Store, run, status, fit_store, lambda it: replay(it, "x")):
        with pytest.raises(st.InputError):
            make(wrong)
    with pytest.raises(st.InputError):
        Study.from_toml(wrong)


def test_a_text_that_a_spreadsheet_would_compute_is_quoted():
    frame = pl.DataFrame({"a": ["=1+1", "plain", "-2", None], "b": [1, 2, 3, 4]})
    assert store_module._for_spreadsheets(frame)["a"].to_list() == ["'=1+1", "plain", "'-2", None]
