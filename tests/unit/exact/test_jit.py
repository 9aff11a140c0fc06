"""Compiled kernels are kept on disk: no edit of what they compute may meet a stale copy."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import sterling
from sterling.exact import jit as _jit

FOLDER = Path(sterling.__file__).parent


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
    listed = {FOLDER / name for name in _jit._SOURCES}
    harmless = {FOLDER / "errors.py"}
    assert needed - listed - harmless == set()


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    assert _jit.cache_folder().is_relative_to(tmp_path / "numba")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _jit.cache_folder().is_relative_to(tmp_path / "xdg")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert _jit.cache_folder().is_relative_to(tmp_path / "home")


def test_a_cache_folder_that_cannot_be_written(tmp_path):
    """In a container without a home, kernels are compiled for the process alone: slower, but no crash."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    code = "import sterling as st; print(st.Problem(n=3, samples=5).draw(0).samples)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(blocked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["5"], done.stderr[-2000:]
