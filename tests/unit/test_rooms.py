"""The rooms of the package and the arrows between them: imports point downwards, and none goes round.

What is read is every import of every file, those inside functions too; only those for type checkers are not.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import sterling

FOLDER = Path(sterling.__file__).parent

#: From the ground up: what stands in one place may import what stands before it, and itself.
ORDER = (
    "errors",
    "base",
    "exact",
    "stats",
    "surrogates",
    "schedules",
    "model",
    "returns",
    "dynamics",
    "theory",
    "landscapes",
    "study",
    "plans",
    "plot",
    "claims",
    "report",
    "learn",
    "torch",
    "cli",
    "__main__",
)

#: `sterling.torch` serves people who have nothing to do with the simulator.
FOREIGN_TO_TORCH = ("exact", "dynamics", "model")

MOST_ENTRIES = 8  # beside rooms, at the top of the package


def modules():
    """Return the modules of the package by their names below it."""
    found = {}
    for file in FOLDER.rglob("*.py"):
        parts = file.relative_to(FOLDER).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def is_for_type_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def targets(node):
    """Return the modules of the package that an import statement names."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sterling":
        base = node.module.removeprefix("sterling").lstrip(".")
        names = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
        return [name if name in MODULES else base for name in names]
    if isinstance(node, ast.Import):
        return [a.name.removeprefix("sterling.") for a in node.names if a.name.startswith("sterling.")]
    return []


def imports_of(file):
    """Return the modules of the package that a file imports, anywhere in it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unseen = {id(inner) for node in ast.walk(tree) if is_for_type_checkers(node) for inner in ast.walk(node)}
    nodes = [node for node in ast.walk(tree) if id(node) not in unseen]
    return {target for node in nodes for target in targets(node) if target in MODULES and target}


@cache
def arrows():
    """Return what each module imports."""
    return {name: imports_of(file) for name, file in MODULES.items()}


def room(module):
    return module.split(".")[0]


def test_every_room_has_its_place():
    rooms = {room(name) for name in MODULES if name}
    assert rooms <= set(ORDER)


def test_arrows_point_downwards():
    upwards = {
        (name, target)
        for name, found in arrows().items()
        for target in found
        if name and ORDER.index(room(target)) > ORDER.index(room(name))
    }
    assert sorted(upwards) == []


def test_torch_knows_nothing_of_the_simulator():
    wrong = {
        (name, target)
        for name, found in arrows().items()
        for target in found
        if room(name) == "torch" and room(target) in FOREIGN_TO_TORCH
    }
    assert sorted(wrong) == []


def circles():
    """Return the groups of modules that import each other, by Tarjan's algorithm."""
    index, low, stack, found = {}, {}, [], []

    def visit(name):
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in arrows()[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10 * len(MODULES)))
    for name in MODULES:
        if name and name not in index:
            visit(name)
    return sorted(found)


def test_no_module_imports_itself_through_others():
    assert circles() == []


def test_few_entries_beside_rooms():
    loose = [path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".pyc"]
    assert len(loose) <= MOST_ENTRIES, sorted(loose)


def test_the_reading_of_imports_sees_what_it_should():
    assert "base.files" in arrows()["model.data"]  # at the top of a file
    assert any("dynamics" in room(target) for target in arrows()["cli.train"])  # inside a function
    assert len(arrows()) > 80
