"""Compare this version with an earlier one by the cases of `python -m benchmarks`, both in turns.

    python -m benchmarks.against REVISION [--only NAME …] [--rounds 3]

The earlier version is checked out into a temporary folder, and each measures itself. The best round counts. A
ratio above 1 means that this version is slower or takes more; the exit code is 1 if one exceeds 1.05. A cost
of zero or less has no ratio: the table shows 1, or 2 if only this version has a cost.
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
_OURS = ("sterling, a step", "drawing", "training")  # compared without the rival, which adds noise
_RIVALS = ("PyTorch", "NumPy")


def measure(tree: Path, case: str, output: Path) -> dict[str, tuple[float, bool]]:
    """Run a case in a tree; return the result of each title, and whether more is better."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(tree)])}
    command = [sys.executable, "-m", "benchmarks", "--only", case, "--repeat", "1", "--output", str(output)]
    subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, check=True)
    found = {}
    for row in json.loads(output.read_text(encoding="utf-8"))["rows"]:
        found[row["title"]] = own_time(row) or (row["measured"], row["more_is_better"])
    return found


def own_time(row: dict) -> tuple[float, bool] | None:
    """Return the least seconds of ours in a row that compares with a rival; else None."""
    runs = row["runs"]
    if not any(name.startswith(_RIVALS) for name in runs):
        return None
    ours = [name for name in _OURS if name in runs]
    return min(runs[next((name for name in ours if row["title"].startswith(name)), ours[-1])]), False


def main() -> int:
    """Run the cases in turns and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("revision", help="the earlier version, as a git revision")
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
    """Return (case, title, best before, best after, ratio) for the titles that both versions have."""
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
