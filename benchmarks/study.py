"""How studies do against their bars: `python -m benchmarks.study [--only overhead million shared]`.

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

import sterling as st
from benchmarks.report import Options, Row, main
from sterling.schedules import parse_schedule
from sterling.study import Store, Study, run
from sterling.study.store import encode, frame_of
from sterling.study.trial import TrialBatch, run_batch, trial_seeds

SIZES = ((16, 150, 2000), (32, 400, 600))  # n, samples, trials: a trial takes about a millisecond alone


def overhead(options: Options) -> list[Row]:
    """Compare in turn, since the machine may be shared; the median ratio counts."""
    return [_overhead(*size, options) for size in SIZES]


def _overhead(n: int, samples: int, trials: int, options: Options) -> Row:
    study = Study(n=n, samples=samples, trials=trials, steps=100_000)
    cell = study.cells[0]
    schedule = parse_schedule(cell.settings["schedule"])
    run_batch(0, None, TrialBatch(cell, np.array([0])))

    def one(number: int):
        seed = trial_seeds(0, cell, number).data
        return st.train(
            cell.problem.draw(seed), steps=100_000, schedule=schedule, init=seed, record=(), threads=1
        )

    times: dict[str, list[float]] = {"loop": [], "study": []}
    for _ in range(2 * options.repeat + 1):
        begun = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, range(trials)))
        times["loop"].append(time.perf_counter() - begun)
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            run(study, Path(folder) / "s", threads=2)
            times["study"].append(time.perf_counter() - begun)
    loop, spent = (trials / np.array(one) for one in times.values())
    return Row(
        title=f"trials a second of a study: n={n}, N={samples}",
        measured=float(np.median(spent / loop)),
        unit="× a loop",
        bar=0.9,
        runs=times,
        note=f"loop {np.median(loop):.0f} trials/s, study {np.median(spent):.0f} trials/s",
    )


def million(options: Options) -> list[Row]:
    """Fill a store with copies of real rows, then time each verb in a separate process."""
    each = (10_000 if options.quick else 1_000_000) // 48
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            n=[8, 16, 32, 64],
            samples={"c": list(np.round(np.geomspace(0.4, 8, 12), 3)), "a": 1.2},
            steps=2000,
            trials=each,
        )
        store = Store(Path(folder) / "s", study)
        name, data = encode(_fake(study, each), study)
        (store.folder / "trials" / name).write_bytes(data)
        rows = []
        for verb in ("status", "fit"):
            command = [sys.executable, "-c", _VERB, verb, str(store.folder)]
            seconds, peak = json.loads(subprocess.check_output(command, text=True))
            title = f"{verb} of {48 * each:,} rows, {len(data) / 1e6:.0f} MB on disk"
            rows.append(Row(title=title, measured=seconds, unit="s", bar=3, more_is_better=False))
            rows.append(Row(f"memory of {title}", peak, "MB", bar=500, more_is_better=False))
    return rows


def _fake(study: Study, each: int):
    """Return rows whose outcomes follow a law; only the outcomes are invented."""
    import polars as pl

    rng = np.random.default_rng(0)
    parts = []
    for cell in study.cells:
        row = frame_of(study.kind, run_batch(study.seed, None, TrialBatch(cell, np.array([0]))).rows)
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


def shared(options: Options) -> list[Row]:
    """Run one study in three processes, all begun at once, and count what they computed."""
    trials = 60 if options.quick else 600
    study = Study(
        n=[16, 24, 32], samples={"c": [2, 3, 4, 6], "a": 1.0}, trials=trials, steps=20_000, noise=0.3
    )
    with tempfile.TemporaryDirectory() as folder:
        Store(Path(folder) / "s", study)
        command = [sys.executable, "-c", _SHARE, str(Path(folder) / "s")]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        computed = [int(one.communicate()[0]) for one in running]
        needed = len(Store(Path(folder) / "s").trials(["trial"]))
    return [
        Row(
            title="work that three processes on a folder do twice",
            measured=sum(computed) / needed - 1,
            unit="of the trials",
            bar=0.33,
            more_is_better=False,
            note=f"the processes computed {computed} for {needed:,} trials",
        )
    ]


CASES = {"overhead": overhead, "million": million, "shared": shared}

if __name__ == "__main__":
    sys.exit(main("study", CASES, __doc__))
