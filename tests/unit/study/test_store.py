"""The store: whole or absent shards, nothing twice, damage seen and named."""

import io
import json
import shutil
import warnings
from hashlib import blake2b

import numpy as np
import polars as pl
import pytest

import sterling as st
from sterling.study import Store, Study, run
from sterling.study.store import FORMAT, frame_of, schema_of
from sterling.study.trial import TrialBatch, run_batch

STUDY = Study(n=[6, 8], samples=[12, 30], trials=6, steps=300, seed=4)
FIRST, SECOND = STUDY.cells[:2]
KIND = STUDY.kind
STORED = list(schema_of(KIND))


def changed(row, **changes):
    """Return a row in which some columns have other values."""
    return tuple(changes.get(name, value) for name, value in zip(STORED, row, strict=True))


@pytest.fixture(scope="module")
def finished():
    """Rows of two cells, six trials each."""
    return {
        cell.key: run_batch(STUDY.seed, None, TrialBatch(cell, np.arange(6))).rows for cell in (FIRST, SECOND)
    }


@pytest.fixture
def store(tmp_path, finished):
    """A store with three shards."""
    store = Store(tmp_path / "s", STUDY)
    store._add(finished[FIRST.key][:3])
    store._add(finished[FIRST.key][3:])
    store._add(finished[SECOND.key])
    return store


def shard_paths(store):
    return sorted((store.folder / "trials").iterdir())


def put(store, data, name="train-2-{}.parquet"):
    """Write bytes as a shard whose name holds their digest."""
    digest = blake2b(data, digest_size=16).hexdigest()
    (store.folder / "trials" / name.format(digest)).write_bytes(data)


def test_rows_come_back_as_they_went(store, finished):
    rows = [changed(row, cell=cell.key) for cell in (FIRST, SECOND) for row in finished[cell.key]]
    got = store.trials()
    assert got.select(STORED).sort("cell", "trial").equals(frame_of(KIND, rows).sort("cell", "trial"))
    for cell in (FIRST, SECOND):
        (content,) = got.filter(cell=cell.key).select(list(cell.content)).unique().to_dicts()
        assert content == cell.content


def test_a_trial_in_two_shards_counts_once(store, finished):
    slower = STORED.index("seconds")
    store._add(changed(row, seconds=row[slower] + 1000.0) for row in finished[FIRST.key])
    assert len(store.trials()) == 12
    assert store.counts("optimal")["trials"].to_list() == [6, 6]
    assert (store.trials(["cell", "trial", "seconds"])["seconds"] < 1000).all()


def test_rows_that_contradict_each_other_are_an_error_and_stop_no_run(store, finished):
    row = finished[FIRST.key][0]
    store._add([changed(row, visits=row[STORED.index("visits")] + 1)])
    assert run(STUDY, store.folder).reason == "complete"
    with pytest.raises(st.StoreError, match=rf"{FIRST.key}-0 differ"):
        store.trials()


@pytest.mark.parametrize("damage", ["empty", "cut", "short", "bit"])
def test_a_damaged_shard_is_named_once_and_its_trials_are_run_again(store, damage):
    broken = shard_paths(store)[0]
    lost, data = int(broken.name.split("-")[1]), bytearray(broken.read_bytes())
    data[len(data) // 2] ^= damage == "bit"
    broken.write_bytes(data[: {"empty": 0, "cut": 100, "short": -1}.get(damage)])
    with pytest.warns(st.SterlingWarning, match=rf"{broken.name}: it is damaged or cut off"):
        assert len(store.trials()) == 12 - lost
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(store.trials()) == 12 - lost
    with pytest.warns(st.SterlingWarning, match="damaged"):
        assert run(STUDY, store.folder).done == 24
    with pytest.warns(st.SterlingWarning, match="damaged"):
        assert Store(store.folder).counts("optimal")["trials"].to_list() == [6] * 4


@pytest.mark.parametrize("name", ["notes.txt", "train-3-abc.parquet", f"train-2-{'0' * 32}.parquet"])
def test_a_stray_file_is_named_and_left_alone(store, name):
    stray = store.folder / "trials" / name
    shutil.copy(shard_paths(store)[0], stray)
    with pytest.warns(st.SterlingWarning, match=name):
        assert len(store.trials()) == 12
    assert stray.exists()


def test_a_shard_of_another_study_is_left_out(store, tmp_path):
    other = Store(tmp_path / "other", Study(n=6, samples=12, trials=2, steps=300, seed=9))
    name = other._add(run_batch(9, None, TrialBatch(FIRST, np.array([0, 1]))).rows)
    shutil.copy(other.folder / "trials" / name, store.folder / "trials" / name)
    with pytest.warns(st.SterlingWarning, match="its study is"):
        assert len(store.trials()) == 12


def parquet(frame, **about):
    stream = io.BytesIO()
    frame.write_parquet(stream, metadata={"format": FORMAT, "study": STUDY.identity, **about})
    return stream.getvalue()


def test_a_file_of_another_program_is_left_out(store, finished):
    """It may have the name of a shard, and the right digest."""
    frame, about = pl.DataFrame({"cell": ["a"], "trial": [1]}), {"kind": "train", "version": "1"}
    rows = frame_of(KIND, [changed(finished[FIRST.key][0], cell='{"kind":"train"}')])
    for data, words in (
        (parquet(frame, **about), "columns"),
        (parquet(frame, **{**about, "format": "other"}), "format"),
        (parquet(rows, **about), "impossible values"),
        (b"PAR1 and nothing else PAR1", "cannot be read"),
    ):
        put(store, data)
        with pytest.warns(st.SterlingWarning, match=words):
            assert len(store.trials()) == 12


def test_a_folder_of_another_study_is_refused(store):
    with pytest.raises(st.StoreError, match="seed 4, this one has seed 5"):
        Store(store.folder, Study(n=6, samples=12, seed=5))


def test_the_file_of_a_study_that_another_replaces_is_kept(store):
    with pytest.warns(st.SterlingWarning, match="held another study"):
        Store(store.folder, Study(n=7, samples=12, seed=4))
    (kept,) = store.folder.glob("study-*.toml")
    assert Study.from_toml(kept) == STUDY


def test_a_damaged_study_file_is_named(store):
    (store.folder / "study.toml").write_text("n =")
    with pytest.raises(st.StoreError, match=r"cannot be read: .*valid TOML"):
        Store(store.folder)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_export(store, tmp_path, kind):
    path = store.export(tmp_path / f"all.{kind}")
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet}.get(kind)
    rows = read(path).to_dicts() if read else json.loads(path.read_text())
    assert len(rows) == 12
    assert rows[0]["n"] in (6, 8)
    assert list(rows[0]) == store.columns


def test_an_empty_store_has_no_rows(tmp_path):
    store = Store(tmp_path / "Öre ≥ 🜚", STUDY)
    read = pl.read_csv(store.export(tmp_path / "ä.csv"))
    assert (len(read), read.columns) == (0, store.columns)
    assert store.trials().is_empty()
    assert store.counts("optimal").is_empty()
