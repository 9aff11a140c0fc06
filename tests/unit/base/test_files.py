"""Files: whole or not at all, regular ones only, links followed, nothing left behind."""

import os
import stat

import pytest

import sterling as st
from sterling.base import files
from sterling.base.files import as_path, printable, refusal, unreadable, write_atomically


def fill(stream):
    stream.write(b"new")


def names(folder):
    return sorted(os.listdir(folder))


def test_a_file_is_replaced_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    assert write_atomically(tmp_path / "a", fill) == tmp_path / "a"
    assert (tmp_path / "a").read_bytes() == b"new"

    def fail(stream):
        fill(stream)
        raise OSError(28, "No space left on device")

    with pytest.raises(st.StoreError, match="No space left"):
        write_atomically(tmp_path / "a", fail)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("there", (True, False))
def test_a_link_is_followed(tmp_path, there):
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


def test_only_regular_files_are_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    before = names(tmp_path)
    for name, words in (
        ("pipe", "a pipe"),
        ("link", "a pipe"),
        (".", "a folder"),
        ("one", "symbolic links"),
        ("a\0b", "null byte"),
        ("x" * 300, "too long"),
    ):
        path = tmp_path / name
        assert words in (refusal(path) or "")
        assert unreadable(path)
        with pytest.raises(st.StoreError, match=words):
            write_atomically(path, fill)
    assert names(tmp_path) == before
    write_atomically(tmp_path / ("y" * 250), fill)  # the longest name that is possible, or nearly


@pytest.mark.parametrize("use", (lambda value: write_atomically(value, fill), st.load_data, st.Orbit.load))
@pytest.mark.parametrize("value", (None, 3))
def test_what_is_not_a_path(value, use):
    with pytest.raises(st.InputError, match="give a path"):
        use(value)


@pytest.mark.parametrize("mode", (0o600, 0o664, 0o400))
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


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path, monkeypatch):
    """Whoever may write in the folder could have our own hands overwrite a file that they may not."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    (tmp_path / f".sterling-{'0' * 16}.part").symlink_to(victim)
    with pytest.raises(st.StoreError, match="exists"):
        write_atomically(tmp_path / "a", fill)
    assert victim.read_bytes() == b"mine"


def test_old_files_of_killed_writers_are_removed(tmp_path):
    old, new, foreign = (tmp_path / f".{name}.part" for name in ("sterling-0", "sterling-1", "other"))
    for path in (old, new, foreign):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(foreign, (0, 0))
    write_atomically(tmp_path / "a", fill)
    write_atomically(tmp_path / "a", fill)
    assert names(tmp_path) == sorted(["a", new.name, foreign.name])
    files.remove_left(tmp_path / "missing")


@pytest.mark.parametrize(
    "name, shown",
    [(b"bad\xfc.csv", "bad\\xfc.csv"), ("grün".encode(), "grün"), (b"a\nb\x1b[2J", "a\\nb\\x1b[2J")],
)
def test_names_in_messages(name, shown):
    """Bytes that are not UTF-8, and letters that would take over the terminal, are escaped."""
    assert printable(as_path(name)) == shown
    assert shown in (unreadable(as_path(name)) or "")
