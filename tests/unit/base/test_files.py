"""Files: whole or not at all, regular ones only, links followed, nothing left behind."""

from __future__ import annotations

import os
import secrets
import stat

import pytest

import sterling as st
from sterling.base import files
from sterling.base.files import printable, refusal, unreadable, write_atomically

LONG = "x" * 300


def fill(stream):
    stream.write(b"new")


def names(folder):
    return sorted(os.listdir(folder))


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_file_is_replaced_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    assert write_atomically(tmp_path / "a", fill) == tmp_path / "a"
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("there", (True, False))
def test_of_a_link_the_target_is_written(tmp_path, there):
    (tmp_path / "other").mkdir()
    target, link = tmp_path / "other" / "a", tmp_path / "link"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(target)
    assert refusal(link) is None
    write_atomically(link, fill)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "other") == ["a"]


def test_a_pipe_or_a_link_to_one_is_no_target(tmp_path, pipe):
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for path in (pipe, link):
        assert refusal(path) == "which is a pipe: name a regular file"
        with pytest.raises(st.StoreError, match="which is a pipe: name a regular file"):
            write_atomically(path, fill)
        assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == ["link", "pipe"]


@pytest.mark.parametrize(
    "kind, word", [(stat.S_IFCHR, "device"), (stat.S_IFBLK, "device"), (stat.S_IFSOCK, "socket")]
)
def test_other_kinds_are_no_targets(tmp_path, monkeypatch, kind, word):
    class Status:
        st_mode = kind | 0o666

    (tmp_path / "a").touch()
    monkeypatch.setattr("os.stat", lambda path: Status)
    assert word in refusal(tmp_path / "a")
    assert word in unreadable(tmp_path / "a")
    with pytest.raises(st.StoreError, match=word):
        write_atomically(tmp_path / "a", fill)


@pytest.mark.parametrize(
    "name, words", [(LONG, "File name too long"), ("a\0b", "zero byte"), (".", "a folder")]
)
def test_names_that_cannot_be(tmp_path, name, words):
    path = tmp_path / name
    assert words in refusal(path)
    with pytest.raises(st.StoreError, match=words):
        write_atomically(path, fill)
    with pytest.raises(st.CheckpointError):
        st.Orbit.load(path)
    with pytest.raises(st.InputError):
        st.load_data(f"{path}.csv")


@pytest.mark.parametrize("name", ("y" * 250, "é" * 125))
def test_a_long_name_that_may_be_is_written(tmp_path, name):
    assert refusal(tmp_path / name) is None
    write_atomically(tmp_path / name, fill)
    assert names(tmp_path) == [name]


def test_a_circle_of_links(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "symbolic links" in refusal(tmp_path / "a")


def test_a_folder_where_nothing_can_be_made(tmp_path, monkeypatch):
    """Only an attempt tells: permissions say nothing to root, and some file systems take no files."""
    assert "no folder" in refusal(tmp_path / "missing" / "a")
    assert names(tmp_path) == []

    def refuse(*args, **named):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.open", refuse)
    assert "no file can be made in" in refusal(tmp_path / "a")
    if os.path.isdir("/proc/self"):
        monkeypatch.undo()
        assert "no file can be made in" in refusal(files.Path("/proc/x"))


@pytest.mark.parametrize("value", (None, 3, 1.5, ["a"]))
def test_what_is_no_path(value, tmp_path):
    for use in (
        lambda: write_atomically(value, fill),
        lambda: st.load_data(value),
        lambda: st.Orbit.load(value),
    ):
        with pytest.raises(st.InputError, match="give a path"):
            use()


@pytest.mark.parametrize("mode", (0o600, 0o644, 0o664, 0o400))
def test_a_replaced_file_keeps_its_permissions(tmp_path, mode):
    target, seen = tmp_path / "a", []
    target.touch()
    target.chmod(mode)

    def look(stream):
        (temporary,) = (path for path in tmp_path.iterdir() if path != target)
        seen.append(stat.S_IMODE(temporary.stat().st_mode))
        fill(stream)

    write_atomically(target, look)
    assert [*seen, stat.S_IMODE(target.stat().st_mode)] == [mode, mode]
    assert target.read_bytes() == b"new"


def test_a_link_laid_under_a_temporary_name_is_not_followed(tmp_path, monkeypatch):
    """Whoever may write in the folder could have our own hands overwrite a file that he may not."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    (tmp_path / f".a.{'0' * 12}.part").symlink_to(victim)
    with pytest.raises(st.StoreError, match="exists"):
        write_atomically(tmp_path / "a", fill)
    assert refusal(tmp_path / "a")
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name, shown",
    [
        (b"bad\xfc.csv", "bad\\xfc.csv"),
        ("grün".encode(), "grün"),
        (b"a\nb\x1b[2J", "a\\nb\\x1b[2J"),
        (b"a\0b", "a\\x00b"),
    ],
)
def test_names_in_messages(name, shown):
    """Bytes that are no UTF-8, and letters that would take over the terminal."""
    assert printable(files.as_path(name)) == shown
    printable(files.as_path(name)).encode()
    assert shown in (unreadable(files.as_path(name)) or "")


# what a killed writer leaves


def leftover(target):
    """Make a file as a killed writer would leave it, and return its path."""
    path = target.with_name(f"{files._prefix(target.name)}{secrets.token_hex(6)}.part")
    path.write_bytes(b"half")
    return path


def test_what_a_dead_writer_left_goes_with_the_next_save(tmp_path):
    target, kept = tmp_path / "a", tmp_path / "kept"
    target.touch()
    kept.write_bytes(b"mine")
    leftover(target)
    of_another = leftover(tmp_path / "a.b")
    foreign = tmp_path / ".a.notes.part"
    foreign.touch()
    link = tmp_path / f".a.{'0' * 12}.part"
    link.symlink_to(kept)

    def write_beside(stream):
        alive.extend(path for path in tmp_path.iterdir() if path not in before)
        write_atomically(target, fill)  # another writer, who must leave the first one alone
        fill(stream)

    before, alive = set(tmp_path.iterdir()), []
    write_atomically(target, write_beside)
    assert len(alive) == 1
    assert names(tmp_path) == sorted(path.name for path in (of_another, foreign, link, kept, target))
    assert (kept.read_bytes(), target.read_bytes()) == (b"mine", b"new")


def test_a_whole_folder_can_be_tidied(tmp_path):
    leftover(tmp_path / "a")
    leftover(tmp_path / ("b" * 250))
    (tmp_path / "c.part").touch()
    files.remove_left(tmp_path)
    files.remove_left(tmp_path / "missing")
    assert names(tmp_path) == ["c.part"]


def test_a_file_taken_for_left_behind_is_made_once_more(tmp_path, monkeypatch):
    """A tidy process may come between the making of a file and its lock."""
    flock, unlinked = files.fcntl.flock, []

    def late(handle, how):
        if not unlinked:
            unlinked.extend(tmp_path.iterdir())
            unlinked[0].unlink()
        flock(handle, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    write_atomically(tmp_path / "a", fill)
    assert len(unlinked) == 1
    assert names(tmp_path) == ["a"]
