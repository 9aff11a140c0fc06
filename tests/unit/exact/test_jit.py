"""Compiled kernels are kept on disk: no edit of what they compute may meet a stale copy."""

from __future__ import annotations

import ast
import errno
import importlib.util
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import sterling
from sterling.errors import SterlingWarning
from sterling.exact import jit

FOLDER = Path(sterling.__file__).parent


@cache
def imports_of(file):
    """Return the files of the package that one of its files imports at its top level."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sterling":
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("sterling.")]
        for name in names:
            path = FOLDER.joinpath(*name.split(".")[1:]).with_suffix(".py")
            if path.exists() and path != FOLDER.with_suffix(".py"):
                found.add(path)
    return found


def test_the_digest_covers_all_that_kernels_are_made_of():
    """Numba's cache key sees one file only; the name of the cache folder must see all the others.

    Counted are the files that compile something, and what those import.
    """
    compiling = [
        file
        for file in FOLDER.rglob("*.py")
        if {FOLDER / "exact/jit.py", FOLDER / "exact/machine.py"} & imports_of(file)
        and "@njit" in file.read_text()
    ]
    assert len(compiling) >= 2
    needed, left = set(), list(compiling)
    while left:
        file = left.pop()
        if file not in needed:
            needed.add(file)
            left.extend(imports_of(file))
    listed = {FOLDER / name for name in jit._SOURCES}
    harmless = {FOLDER / "errors.py", *(FOLDER / "base").glob("*.py")}
    assert needed - listed - harmless == set()


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
        folder = jit.cache_folder()
        assert folder is not None
        assert folder.is_relative_to(tmp_path / name)
        monkeypatch.delenv(name)
    monkeypatch.setattr("os.getuid", lambda: 987_654)  # as in a container that knows no such user
    assert jit.cache_folder() is None


def test_numba_keeps_its_own_settings():
    """Kernels of others in the same process go where they would go without us."""
    code = "from numba.core import config; before = config.CACHE_DIR; import sterling.dynamics.kernels; "
    code += "assert config.CACHE_DIR == before; "
    # SciPy's linear algebra takes long to import and no kernel needs it; those of others still find it.
    code += "import sys; from numba.np import linalg; assert 'scipy.linalg' not in sys.modules; "
    code += "linalg.ensure_blas(); assert 'scipy.linalg.cython_blas' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# What is kept on disk. Each `start` is what a new process would do with a kernel of two lines.


@pytest.fixture
def folder(monkeypatch, tmp_path):
    if jit.INTERPRETED:
        pytest.skip("nothing is compiled")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tripled(value):
    return 3 * value


def new_process():
    jit._said.clear()
    jit._refusal.cache_clear()
    return jit.njit(tripled)


def start(value=3):
    """Return how many kernels were found."""
    kernel = new_process()
    assert kernel(value) == 3 * value
    return sum(kernel.compiled.stats.cache_hits.values())


def test_a_kernel_is_compiled_once(folder):
    assert [start(), start(), start(2.5), start(2.5)] == [0, 1, 0, 1]
    assert len(jit.kept_kernels()) == 2
    assert all(file.is_relative_to(folder) for file in jit.kept_kernels())


def test_a_copy_elsewhere_finds_the_kernels(folder, tmp_path, monkeypatch):
    """A fresh clone of the same version need not compile."""
    hits = []
    for place in ("one", "another"):
        file = tmp_path / place / "room" / "doubling.py"
        file.parent.mkdir(parents=True)
        file.write_text("def doubled(value):\n    return 2 * value\n")
        spec = importlib.util.spec_from_file_location("doubling", file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "doubling", module)
        spec.loader.exec_module(module)
        kernel = jit.njit(module.doubled)
        assert kernel(4) == 8
        hits.append(sum(kernel.compiled.stats.cache_hits.values()))
    assert hits == [0, 1]


def altered(data, how):
    middle = len(data) // 2
    return {
        "empty": b"",
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
    }[how]


def files():
    return sorted(jit.cache_folder().rglob("*.nb[ci]"))


@pytest.mark.parametrize("how", ["empty", "flipped"])
def test_a_damaged_kernel_is_compiled_again_and_said_once(folder, how):
    start()
    start(2.5)
    for file in files():
        file.write_bytes(altered(file.read_bytes(), how))
    with pytest.warns(SterlingWarning, match="damaged") as caught:
        assert start() == 0
    assert len(caught) == 1
    assert [start(), start(2.5), start(2.5)] == [1, 0, 1]


@pytest.mark.parametrize("ending", [".nbc", ".nbi"])
def test_a_folder_in_the_place_of_a_kernel(folder, ending):
    start()
    (file,) = (file for file in files() if file.suffix == ending)
    file.unlink()
    file.mkdir()
    with pytest.warns(SterlingWarning):
        assert start() == 0


class Planted:
    """Whoever unpickles it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no modes")
@pytest.mark.parametrize("how", ["of another", "open above", "only added", "link"])
def test_a_planted_kernel_is_never_unpickled(folder, monkeypatch, tmp_path, how):
    """Others may write to the folder that NUMBA_CACHE_DIR names, as on a shared machine."""
    start()
    start(2.5)
    for file in files():
        file.write_bytes(pickle.dumps(Planted(tmp_path / "trace")))
        if how != "only added":  # the sound ones can be forged by whoever can plant kernels
            (jit.cache_folder() / "sound" / jit._digest(file)).touch()
    own = jit.cache_folder()
    if how == "of another":
        monkeypatch.setattr("os.getuid", lambda: 987_654)
    elif how == "link":
        own.rename(tmp_path / "elsewhere")
        own.symlink_to(tmp_path / "elsewhere")
        monkeypatch.setattr("os.getuid", lambda: 987_654)
    elif how != "only added":
        own.parent.chmod(0o777)
    reason = "damaged" if how == "only added" else "other users"
    with pytest.warns(SterlingWarning, match=reason) as caught:
        assert start() == 0
    assert len(caught) == 1
    assert not (tmp_path / "trace").exists()


def full(*arguments, **named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("reason", ["a file in the way", "no home", "a full disk"])
def test_kernels_that_cannot_be_kept_are_compiled_at_each_start(monkeypatch, folder, reason):
    said = []
    monkeypatch.setattr(jit, "on_compiling", [said.append])
    if reason == "a file in the way":
        folder.write_text("not a folder")
    elif reason == "no home":
        monkeypatch.setattr(jit, "cache_folder", lambda: None)
    else:
        monkeypatch.setattr("os.replace", full)
    for _ in range(2):
        with pytest.warns(SterlingWarning, match="NUMBA_CACHE_DIR") as caught:
            assert start() == 0
        assert len(caught) == 1
    assert jit.kept_kernels() == []
    assert said == [reason == "a full disk"] * 2
    assert not list(FOLDER.rglob("*.nb[ic]"))  # never beside the sources
