"""The store: whole or absent shards, nothing twice, damage seen and named."""

import json
import shutil
import warnings

import polars as pl
import pytest
from sterling.study.schema import encode, frame_of, merge

import sterling as st
from sterling.study import Store, Study, run
from sterling.study import store as store_module
from sterling.study.trial import COLUMNS, run_batch

STUDY = Study(n=[6, 8], samples=[12, 30], trials=6, steps=300, seed=4)
FIRST, SECOND = STUDY.cells[:2]


@pytest.fixture(scope="module")
def finished():
    """Rows of two cells, six trials each."""
    return {cell.key: run_batch(cell, list(range(6)), STUDY.seed) for cell in (FIRST, SECOND)}


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
    expected = frame_of([*finished[FIRST.key], *finished[SECOND.key]]).sort("cell", "trial")
    got = store.trials()
    texts = [name for name, kind in got.schema.items() if kind in (pl.Categorical, pl.Enum)]
    assert got.with_columns(pl.col(texts).cast(pl.String)).sort("cell", "trial").equals(expected)


def test_a_trial_in_two_shards_counts_once(store, finished):
    rows = [list(row) for row in finished[FIRST.key]]
    for row in rows:
        row[COLUMNS.index("seconds")] += 1000.0  # another process took longer
    store.add([tuple(row) for row in rows])
    assert len(store.trials()) == 12
    assert store.counts("optimal")["trials"].to_list() == [6, 6]
    assert (store.trials(["cell", "trial", "seconds"])["seconds"] < 1000).all()


def test_rows_that_contradict_each_other_are_an_error(store, finished):
    row = list(finished[FIRST.key][0])
    row[COLUMNS.index("visits")] += 1
    store.add([tuple(row)])
    with pytest.raises(st.StoreError, match=rf"{FIRST.key}-0 differ in visits"):
        store.trials()


def test_merging_does_not_depend_on_the_order(finished):
    frames = [frame_of(finished[key]) for key in finished]
    one = encode(merge(frames), STUDY.identity)
    two = encode(merge([*frames[::-1], frames[0]]), STUDY.identity)
    assert one == two


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_shard_is_left_out_with_a_warning(store, keep):
    broken = shard_paths(store)[0]
    lost = int(broken.name.split("-")[1])
    broken.write_bytes(broken.read_bytes()[:keep])
    with pytest.warns(st.SterlingWarning, match=rf"{broken.name} is damaged or cut off"):
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
    "name", ["notes.txt", "trials-3-abc.parquet", f"trials-2-{'0' * 32}.parquet", "copy of a shard.parquet"]
)
def test_a_stray_file_is_named_and_left_alone(store, name):
    stray = store.folder / "trials" / name
    shutil.copy(shard_paths(store)[0], stray)
    with pytest.warns(st.SterlingWarning, match=name):
        assert len(store.trials()) == 12
    assert stray.exists()


def test_a_shard_of_another_study_is_left_out(store, tmp_path):
    other = Store(tmp_path / "other", Study(n=6, samples=12, trials=2, steps=300, seed=9))
    name = other.add(run_batch(FIRST, [0, 1], 9))
    shutil.copy(other.folder / "trials" / name, store.folder / "trials" / name)
    with pytest.warns(st.SterlingWarning, match="another seed"):
        assert len(store.trials()) == 12


def test_a_parquet_file_of_another_kind_is_left_out(store):
    from hashlib import blake2b

    frame = pl.DataFrame({"cell": ["a"], "trial": [1]})
    path = store.folder / "x"
    frame.write_parquet(path, metadata={"format": "sterling-study-1", "study": STUDY.identity})
    data = path.read_bytes()
    digest = blake2b(data, digest_size=16).hexdigest()
    path.rename(store.folder / "trials" / f"trials-1-{digest}.parquet")
    with pytest.warns(st.SterlingWarning, match="other columns"):
        assert len(store.trials()) == 12


def test_altered_rows_are_seen(store, finished):
    row = list(finished[FIRST.key][0])
    row[COLUMNS.index("samples")] = 99
    name = store.add([tuple(row)])
    with pytest.warns(st.SterlingWarning, match="not what its columns say"):
        assert store.read(name) is None


def test_small_shards_are_merged_when_alone(store):
    before = store.trials().sort("cell", "trial")
    with store.working():
        assert store.tidy(always=True)
        assert len(shard_paths(store)) == 1
        assert store.trials().sort("cell", "trial").equals(before)
        assert store.tidy(always=True)
        assert len(shard_paths(store)) == 1


def test_many_rows_are_merged_in_portions(store, monkeypatch):
    monkeypatch.setattr(store_module, "_LARGE", 6)
    with store.working():
        assert store.tidy(always=True)
    assert sorted(path.name.split("-")[1] for path in shard_paths(store)) == ["6", "6"]
    assert len(store.trials()) == 12


def test_only_remains_of_our_own_are_cleared_away(store):
    ours = [
        store.folder / ".study.toml.ab.part",
        store.folder / ".ab.notice.part",
        store.folder / "trials/.x.part",
    ]
    other = store.folder / ".export.csv.ab.part"
    for path in (*ours, other):
        path.touch()
    with store.working():
        store.tidy()
    assert other.exists()
    assert not any(path.exists() for path in ours)


def test_writing_waits_for_a_process_that_tidies(store, finished, monkeypatch):
    """It would take temporary files of others for remains."""
    tidy_elsewhere = []
    real = store_module.write_atomically

    def write(path, fill):
        other = Store(store.folder)
        with other.working():
            tidy_elsewhere.append(other.tidy(always=True))
        return real(path, fill)

    monkeypatch.setattr(store_module, "write_atomically", write)
    store.add(finished[SECOND.key][:2])
    Store(store.folder, Study(n=[6, 8], samples=[12, 30], trials=7, steps=300, seed=4))
    assert tidy_elsewhere == [False, False]


def test_shards_are_not_merged_while_another_process_works(store):
    other = Store(store.folder)
    with store.working(), other.working():
        assert not store.tidy(always=True)
        assert not other.tidy(always=True)
    assert len(shard_paths(store)) == 3
    with store.working():
        assert store.tidy(always=True)


def test_a_merge_into_one_of_its_own_sources_loses_nothing(store, finished):
    with store.working():
        store.tidy(always=True)
        (whole,) = shard_paths(store)
        store.add(finished[FIRST.key][:2])  # contained in the large one
        store.tidy(always=True)
        assert shard_paths(store) == [whole]
    assert len(store.trials()) == 12


def test_a_shard_merged_away_under_a_reader_is_found_in_its_new_place(store, monkeypatch):
    real, calls = store_module.Store.read, []

    def read(self, name, columns=None):
        if not calls:
            calls.append(name)
            other = Store(store.folder)
            with other.working():
                assert other.tidy(always=True)
        return real(self, name, columns)

    monkeypatch.setattr(store_module.Store, "read", read)
    assert len(store.trials()) == 12


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
    assert list(rows[0]) == list(COLUMNS)


def test_an_unknown_export_or_column_is_refused(store, tmp_path):
    with pytest.raises(st.InputError, match="cannot export as 'xls'"):
        store.export(tmp_path / "all.xls")
    with pytest.raises(st.InputError, match="no column 'speed'"):
        store.trials(["speed"])


def test_an_empty_store_has_no_rows(tmp_path):
    made = Store(tmp_path / "Öre ≥ 🜚", STUDY)
    for kind in ("csv", "parquet"):
        path = made.export(tmp_path / f"ä.{kind}")
        read = pl.read_csv(path) if kind == "csv" else pl.read_parquet(path)
        assert (len(read), tuple(read.columns)) == (0, COLUMNS)
    assert json.loads(made.export(tmp_path / "ä.json").read_text()) == []
    assert made.trials().is_empty()
    assert made.counts("optimal").is_empty()
