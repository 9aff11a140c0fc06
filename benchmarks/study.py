"""How studies do against their bars: `python -m benchmarks.study [overhead] [million] [shared]`.

overhead   trials a second through a study, against a bare loop over `st.train` on two threads
million    `status` and `fit` on a store of 10⁶ trials: seconds and memory
shared     what three processes on one folder do twice
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sterling.schedules import parse_schedule
from sterling.study import Store, Study, run
from sterling.study.store import encode, frame_of
from sterling.study.trial import Batch, run_batch, trial_seeds

PAIRS = 7  # alternating measurements of study and loop
SIZES = ((16, 150, 2000), (32, 400, 600))  # n, samples, trials: a trial takes about a millisecond alone


def overhead() -> None:
    """Compare in turn, since the machine may be shared; the median ratio counts."""
    for n, samples, trials in SIZES:
        _overhead(n, samples, trials)


def _overhead(n: int, samples: int, trials: int) -> None:
    import sterling as st

    study = Study(n=n, samples=samples, trials=trials, steps=100_000)
    cell = study.cells[0]
    schedule = parse_schedule(cell.settings["schedule"])
    run_batch(0, None, Batch(cell, np.array([0])))

    def one(number: int):
        seed = trial_seeds(0, cell, number).data
        return st.train(
            cell.problem.draw(seed), steps=100_000, schedule=schedule, init=seed, record=(), threads=1
        )

    ratios = []
    for pair in range(PAIRS):
        begun = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, range(trials)))
        loop = time.perf_counter() - begun
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            run(study, Path(folder) / "s", threads=2)
            spent = time.perf_counter() - begun
        ratios.append(loop / spent)
        print(
            f"  pair {pair + 1}: loop {trials / loop:.0f} trials/s ({2000 * loop / trials:.2f} ms each), "
            f"study {trials / spent:.0f} trials/s, ratio {ratios[-1]:.3f}"
        )
    print(f"overhead: n={n}, N={samples}: median ratio {np.median(ratios):.3f} (bar 0.9)")


def million(rows: int = 1_000_000) -> None:
    """Fill a store with copies of real rows, then time each verb in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            n=[8, 16, 32, 64],
            samples={"c": list(np.round(np.geomspace(0.4, 8, 12), 3)), "a": 1.2},
            steps=2000,
            trials=rows // 48,
        )
        store = Store(Path(folder) / "s", study)
        name, data = encode(_fake(study, rows // 48), study)
        (store.folder / "trials" / name).write_bytes(data)
        size = sum(path.stat().st_size for path in (store.folder / "trials").iterdir())
        print(f"million: {48 * (rows // 48):,} rows, {size / 1e6:.0f} MB on disk")
        for verb in ("status", "fit"):
            command = [sys.executable, "-c", _VERB, verb, str(store.folder)]
            seconds, peak = json.loads(subprocess.check_output(command, text=True))
            print(f"million: {verb} took {seconds:.2f} s and {peak:.0f} MB (bars 3 s, 500 MB)")


def _fake(study: Study, each: int):
    """Return rows whose outcomes follow a law; only the outcomes are invented."""
    import polars as pl

    rng = np.random.default_rng(0)
    parts = []
    for cell in study.cells:
        row = frame_of(study.kind, run_batch(study.seed, None, Batch(cell, np.array([0]))).rows)
        n, size = cell.problem.n, cell.problem.samples
        won = rng.random(each) < 1 / (1 + (1.5 * n**1.2 / size) ** 3)
        parts.append(
            pl.concat([row] * each, rechunk=True).with_columns(
                pl.Series("trial", np.arange(each)),
                pl.Series("verdict", np.where(won, "OPTIMAL", "TRAPPED")),
                pl.Series("certified", np.ones(each, bool)),
                pl.Series("seconds", rng.exponential(0.01, each)),
                pl.Series("occupancy", rng.random(each)),
                pl.Series("events", rng.integers(1, 1000, each)),
            )
        )
    return pl.concat(parts)


_VERB = """
import json, sys, time
begun = time.perf_counter()
from sterling.study import fit_store, status
(status if sys.argv[1] == "status" else fit_store)(sys.argv[2])
seconds = time.perf_counter() - begun
# Not ru_maxrss, which a child inherits from its parent.
lines = open("/proc/self/status").read().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
print(json.dumps([seconds, peak]))
"""


_SHARE = """
import sys
from sterling.study import Store, collect, run
computed = []
def counted(*work, batch=collect.run_batch):
    found = batch(*work)
    computed.extend(found.rows)
    return found
collect.run_batch = counted
run(sys.argv[1], threads=2)
print(len(computed))
"""


def shared(processes: int = 3) -> None:
    """Run one study in several processes, all begun at once, and count what they computed."""
    study = Study(n=[16, 24, 32], samples={"c": [2, 3, 4, 6], "a": 1.0}, trials=600, steps=20_000, noise=0.3)
    with tempfile.TemporaryDirectory() as folder:
        Store(Path(folder) / "s", study)
        command = [sys.executable, "-c", _SHARE, str(Path(folder) / "s")]
        begun = time.perf_counter()
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
        computed = [int(one.communicate()[0]) for one in running]
        seconds = time.perf_counter() - begun
        needed = len(Store(Path(folder) / "s").trials(["trial"]))
    print(
        f"shared: {processes} processes computed {computed} for {needed:,} trials in {seconds:.1f} s: "
        f"{sum(computed) / needed - 1:.3f} of the work was done twice (bar 0.33)"
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or ("overhead", "million", "shared"):
        {"overhead": overhead, "million": million, "shared": shared}[name]()
