"""Files: whole or not at all, regular ones only, links followed, nothing left behind."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
import time

import pytest

import sterling as st
from sterling.base import files
from sterling.base.files import refusal, unreadable, write_atomically

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

    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("builtins.open", refuse)
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


# what a killed writer leaves


def leftover(target, process, age=0.0, where=None):
    """Make a file as a writer of that process number would leave it, and return its path."""
    where = files._here() if where is None else where
    path = target.with_name(f".{target.name}.{where}-{process}-{secrets.token_hex(6)}.part")
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_a_dead_writer_left_goes_with_the_next_save(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    target = tmp_path / "a"
    dead = leftover(target, ended.pid)
    elsewhere_old = leftover(target, ended.pid, 4000, "0" * 8)
    elsewhere = leftover(target, ended.pid, 0, "0" * 8)
    alive = leftover(target, os.getpid())
    of_another = leftover(tmp_path / "a.b", ended.pid)
    foreign = tmp_path / ".a.notes.part"
    foreign.touch()
    write_atomically(target, fill)
    assert not dead.exists()
    assert not elsewhere_old.exists()
    kept = [path.name for path in (elsewhere, alive, of_another, foreign, target)]
    assert names(tmp_path) == sorted(kept)
