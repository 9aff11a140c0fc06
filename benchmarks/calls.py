"""How much code one small run passes: functions of sterling that `sterling train` enters, files, and depth.

Run with ``python -m benchmarks.calls``; it fails above the bounds. ``--list`` names the functions.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import sterling
from sterling.cli import main

COMMAND = ["train", "--n", "20", "--samples", "400", "--steps", "1000"]
#: At most this many.
BOUNDS = {"functions": 120, "files": 25, "depth": 11}

_PACKAGE = str(Path(sterling.__file__).parent) + os.sep


def count(command: list[str]) -> tuple[dict[str, int], list[str]]:
    """Run a command; return the counts of `BOUNDS`, and the functions in the order of their first call.

    Only frames of the package count. Each function is indented by its depth.
    """
    entered: dict[object, str] = {}
    depth = deepest = 0

    def profile(frame, happened, _):
        nonlocal depth, deepest
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return
        if happened == "call":
            depth += 1
            deepest = max(deepest, depth)
            name = f"{code.co_filename[len(_PACKAGE) :]}:{code.co_qualname}"
            entered.setdefault(code, f"{'  ' * (depth - 1)}{name}")
        elif happened == "return":
            depth -= 1

    code = None
    sys.argv = ["sterling", *command]
    sys.setprofile(profile)
    try:
        main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.setprofile(None)
    if code:
        raise RuntimeError(f"sterling ends with code {code}")
    files = {name.strip().partition(":")[0] for name in entered.values()}
    return {"functions": len(entered), "files": len(files), "depth": deepest}, list(entered.values())


if __name__ == "__main__":
    listing = "--list" in sys.argv
    with open(os.devnull, "w") as nowhere:
        sys.stdout, sys.stderr, usual = nowhere, nowhere, (sys.stdout, sys.stderr)
        count(COMMAND)  # imports and compiles
        found, names = count(COMMAND)
        sys.stdout, sys.stderr = usual
    if listing:
        print(*names, sep="\n")
    print(", ".join(f"{value} {name} (at most {BOUNDS[name]})" for name, value in found.items()))
    sys.exit(any(value > BOUNDS[name] for name, value in found.items()))
