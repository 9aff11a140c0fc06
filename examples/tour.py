"""Three runs that show what sterling does, with tables and pictures; it takes well under a minute.

Everything printed here is computed on the spot, with the public functions of the package only.
"""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import sterling as st
from sterling.plot import run as plot
from sterling.plot import style

HERE = Path(__file__).resolve().parent
DATA = HERE / "data" / "breast_cancer_wisconsin.csv"
OUT = Path("out") / "tour"
STARTS = 8

console = Console(highlight=False)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    console.print(
        "[bold]sterling[/] follows weights that are −1 or +1 while the straight-through estimator (STE) "
        "trains them. The gradient is taken at the signs but added to hidden real numbers, the latent "
        "weights; a weight flips when its latent crosses zero. Here are three such runs, each exact.\n"
        "[dim]The very first run compiles the kernels, once; that takes about 15 s.[/]"
    )
    without_noise()
    with_noise()
    real_data()
    console.print(
        f"\nThe pictures are in [bold]{OUT}[/]. Now try: [bold].venv/bin/sterling train --noise 0.5[/]"
    )


def without_noise() -> None:
    headline("1. Clean labels: the run ends, and it can be proved")
    instance = st.Problem(n=100, samples=100_000).draw(seed=0)
    orbit = st.train(instance)
    show("A teacher with 100 binary weights labels 100,000 samples without noise.", orbit)
    console.print(
        f"{verdict(orbit)}: after {orbit.stats.events} steps with a flip the gradient pushes no weight "
        "towards zero, so no weight can flip again, for any step sizes. This is a proof for "
        f"all time, found in {orbit.stats.seconds:.2g} s."
    )
    picture(orbit, "1-clean-labels.png")


def with_noise() -> None:
    headline("2. Noisy labels: the weights leave the teacher and return, again and again")
    instance = st.Problem(n=32, samples=6400, noise=0.5).draw(seed=0)
    orbit = st.train(instance, steps=1_000_000)
    show("32 binary weights, 6,400 samples, label noise of standard deviation 0.5.", orbit)
    busiest = int(np.argmax(orbit.wrong_share))
    console.print(
        f"{verdict(orbit)}: the run arrived at the teacher {orbit.visits:,} times and was there in "
        f"{percent(orbit.occupancy)} of its steps. The longest absence took "
        f"{orbit.return_times.max():,} steps, the longest stay {orbit.sojourn_times.max():,}. "
        f"Weight {busiest} alone was wrong in {percent(orbit.wrong_share[busiest])} of the steps. So the "
        "last iterate is a matter of luck, while the sign of the time average has "
        f"{orbit.ergodic_errors} of {orbit.n} weights wrong."
    )
    picture(orbit, "2-noisy-labels.png")


def real_data() -> None:
    headline("3. A data file: is a tumour malignant?")
    console.print(
        "569 tumours, 30 features of their cells (source and licence: examples/data/README.md). The "
        "network is a sum of the features, each with a sign. Share of the 569 that it gets "
        f"right after 100,000 steps, as mean (lowest–highest) over {STARTS} starts:"
    )
    table = Table(box=None, header_style="dim")
    for column in ("inputs", "last iterate", "time average", "best state seen"):
        table.add_column(column, overflow="fold")
    runs = {}
    for normalize in ("standard", "whiten"):
        instance = st.load_data(DATA, normalize=normalize)
        runs[normalize] = [st.train(instance, steps=100_000, init=start) for start in range(STARTS)]
        kinds = ("signs", "ergodic_signs", "reference")
        table.add_row(
            normalize,
            *(spread([accuracy(instance, getattr(o, kind)) for o in runs[normalize]]) for kind in kinds),
        )
    console.print(table)
    larger = max(instance.labels.mean(), 1 - instance.labels.mean())
    console.print(
        f"Calling every tumour benign would be right for {percent(larger, 1)}. The last iterate scatters, "
        "the time average hardly does. These are the training samples: the numbers show how "
        "well the weights fit, not how well they would do on new patients."
    )
    picture(runs["standard"][0], "3-data-file.png")


def spread(shares: list[float]) -> str:
    return f"{percent(float(np.mean(shares)), 1)} ({100 * min(shares):.1f}–{100 * max(shares):.1f})"


def percent(share: float, decimals: int = 0) -> str:
    """Return a share in per cent, with a space that does not break."""
    return f"{100 * share:.{decimals}f}\N{NO-BREAK SPACE}%"


def accuracy(instance: st.Instance, signs: np.ndarray) -> float:
    """Return the share of samples whose label the network with these signs gives."""
    outputs = (instance.inputs @ signs > 0) @ instance.readout
    return float(np.mean(outputs == instance.labels))


def headline(text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}[/]", align="left")


def show(what: str, orbit: st.Orbit) -> None:
    console.print(what)
    console.print(orbit.summary())


def verdict(orbit: st.Orbit) -> str:
    colour = {"OPTIMAL": "green", "TRAPPED": "red", "RECURRENT": "cyan", "WANDERING": "yellow"}
    return f"[bold {colour.get(orbit.verdict.name, 'magenta')}]{orbit.verdict}[/]"


def picture(orbit: st.Orbit, name: str) -> None:
    path = style.save_figure(plot.figure(orbit), OUT / name)
    console.print(f"[dim]picture: {path}[/]")


if __name__ == "__main__":
    main()
