"""Bars that need fresh processes: memory, import time, first and later runs of the command."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time

from benchmarks.report import Options, Row

# The high-water mark of this program. On Linux a child inherits `ru_maxrss` from its parent.
_DRAW_AND_TRAIN = """
import sys
import sterling as st
n, samples, steps, threads = map(int, sys.argv[1:])
instance = st.Problem(n=n, samples=samples, noise=0.5).draw(0)
orbit = st.train(instance, steps=steps, schedule=st.Power(0.5, 0.5), record=(), threads=threads)
assert orbit.steps == steps and not orbit.interrupted
try:
    status = open("/proc/self/status").read()
    print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else peak * 1024)
"""

_TIME_LIMIT = 600  # seconds, for one child


def memory(options: Options) -> list[Row]:
    """Peak memory of drawing and training, beyond that of the same program on a tiny instance."""
    n, samples, steps = 1000, 100_000, 300
    _peak(n, 64, 10, options.threads)  # compiles the kernels, which takes memory too
    tiny = [_peak(2, 64, steps, options.threads) for _ in range(options.repeat)]
    full = [_peak(n, samples, steps, options.threads) for _ in range(options.repeat)]
    row = Row(
        title=f"peak memory per input entry: n={n} N={samples}, draw and {steps} steps",
        measured=(min(full) - min(tiny)) / (n * samples),
        unit="bytes",
        bar=5,
        more_is_better=False,
        runs={"peak bytes": full, "peak bytes of a tiny run": tiny},
        note=f"peak {min(full) / 2**20:.0f} MiB, a tiny run {min(tiny) / 2**20:.0f} MiB",
    )
    return [row]


def _peak(n: int, samples: int, steps: int, threads: int) -> float:
    arguments = (str(value) for value in (n, samples, steps, threads))
    return float(_call([sys.executable, "-c", _DRAW_AND_TRAIN, *arguments])[1])


def imports(options: Options) -> list[Row]:
    """Time of ``import sterling`` beyond ``import numpy``, in processes that take turns."""
    times: dict[str, list[float]] = {"import numpy": [], "import sterling": []}
    for command in times:
        _call([sys.executable, "-c", command])  # fills the disk cache
    for _ in range(5 * options.repeat):
        for command, spent in times.items():
            spent.append(_call([sys.executable, "-c", command])[0])
    best = {command: min(spent) for command, spent in times.items()}
    row = Row(
        title="import sterling, beyond import numpy",
        measured=best["import sterling"] - best["import numpy"],
        unit="s",
        bar=0.15,
        more_is_better=False,
        runs=times,
        note=", ".join(f"python -c '{command}' {1e3 * spent:.0f} ms" for command, spent in best.items())
        + f", best of {5 * options.repeat}",
    )
    return [row]


def command(options: Options) -> list[Row]:
    """Time of ``sterling train`` on a small problem, with an empty kernel cache and again."""
    if importlib.util.find_spec("sterling.__main__"):
        start = [sys.executable, "-m", "sterling"]
    elif importlib.util.find_spec("sterling.cli"):
        start = [sys.executable, "-c", "from sterling.cli import main; main()"]
    else:
        raise RuntimeError("sterling has no command line: neither sterling.__main__ nor sterling.cli")
    train = [*start, "train", "--n", "20", "--samples", "500", "--steps", "10000"]
    first, later = [], []
    for _ in range(options.repeat):
        with tempfile.TemporaryDirectory(prefix="sterling-bench-") as folder:
            environment = os.environ | {"NUMBA_CACHE_DIR": folder}
            first.append(_call(train, folder, environment)[0])
            later.append(_call(train, folder, environment)[0])
    what = "sterling train: n=20 N=500, 10,000 steps"
    return [
        Row(
            title=f"first {what}, kernels compile",
            measured=min(first),
            unit="s",
            bar=20,
            more_is_better=False,
            runs={"first": first},
        ),
        Row(
            title=f"every later {what}",
            measured=min(later),
            unit="s",
            bar=1.5,
            more_is_better=False,
            runs={"later": later},
        ),
    ]


def _call(
    arguments: list[str], folder: str | None = None, environment: dict[str, str] | None = None
) -> tuple[float, str]:
    """Run a program; return its wall time and what it printed."""
    begun = time.perf_counter()
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIME_LIMIT
    )
    spent = time.perf_counter() - begun
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RuntimeError(f"{' '.join(arguments[1:])!r} exited {done.returncode}: {' / '.join(said[-3:])}")
    return spent, done.stdout
