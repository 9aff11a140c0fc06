"""This version against an earlier one: the cases of `python -m benchmarks`, both trees in turns.

    python -m benchmarks.against REVISION [--only NAME …] [--rounds 3]

The earlier tree is checked out into a temporary folder. Of each tree the best round counts; a ratio above one
says that this version is slower (or takes more). Of a cost that is none at all (zero or less) there is no
ratio: one is shown, or two where there is a cost now. Exit code 1 where one is more than 5 % above.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES

ROOT = Path(__file__).parent.parent
ALLOWED = 1.05
_OURS = ("sterling, a step", "drawing", "training")  # where a row has a rival, its own time alone is compared
_RIVALS = ("PyTorch", "NumPy")


def measure(tree: Path, case: str, output: Path) -> dict[str, tuple[float, bool]]:
    """Return what one run of a case in a tree measured, by title, and whether more is better."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(tree)])}
    command = [sys.executable, "-m", "benchmarks", "--only", case, "--repeat", "1", "--output", str(output)]
    subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, check=True)
    found = {}
    for row in json.loads(output.read_text(encoding="utf-8"))["rows"]:
        found[row["title"]] = own_time(row) or (row["measured"], row["more_is_better"])
    return found


def own_time(row: dict) -> tuple[float, bool] | None:
    """Return the least seconds of a row measured in those of a rival, which would add noise of its own."""
    runs = row["runs"]
    if not any(name.startswith(_RIVALS) for name in runs):
        return None
    ours = [name for name in _OURS if name in runs]
    return min(runs[next((name for name in ours if row["title"].startswith(name)), ours[-1])]), False


def main() -> int:
    """Run the cases in turns and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("revision", help="what git calls the earlier version")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        earlier = Path(temporary) / "earlier"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(earlier), asked.revision], check=True)
        try:
            for case in asked.only:
                values: dict[Path, list[dict]] = {earlier: [], ROOT: []}
                for turn in range(asked.rounds):
                    for tree in (earlier, ROOT) if turn % 2 == 0 else (ROOT, earlier):
                        values[tree].append(measure(tree, case, Path(temporary) / "rows.json"))
                rows += compare(case, values[earlier], values[ROOT])
        finally:
            subprocess.run([*git, "remove", "--force", str(earlier)], check=True)
    show(rows)
    return int(any(ratio > ALLOWED for *_, ratio in rows))


def compare(case: str, before: list[dict], after: list[dict]) -> list[tuple[str, str, float, float, float]]:
    """Return (case, title, best before, best after, ratio) of the titles that both versions have."""
    rows = []
    for title, (_, more) in after[0].items():
        if title in before[0]:
            best = max if more else min
            old, new = (best(one[title][0] for one in runs) for runs in (before, after))
            ratio = old / new if more else new / old
            rows.append((case, title, old, new, ratio if min(old, new) > 0 else 1.0 + (new > 0 >= old)))
    return rows


def show(rows: list[tuple[str, str, float, float, float]]) -> None:
    """Print the table."""
    table = Table("case", "what", "before", "now", "ratio", box=box.SIMPLE_HEAD)
    for case, title, old, new, ratio in rows:
        colour = "red" if ratio > ALLOWED else "green"
        table.add_row(case, title, f"{old:.4g}", f"{new:.4g}", f"[{colour}]{ratio:.3f}[/]")
    Console(width=None if sys.stdout.isatty() else 130).print(table)


if __name__ == "__main__":
    sys.exit(main())
