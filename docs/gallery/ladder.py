"""The ladder: samples per weight that each estimator needs, from `benchmarks/papers/ladder.csv`."""

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import sterling as st
from sterling.plot import style

LOOKS = {  # colour, marker
    "Hebb": (style.AMBER, "v"),
    "least squares": (style.OLIVE, "s"),
    "logistic": (style.PURPLE, "P"),
    "message passing": (style.INK, "D"),
    "least risk": (style.GREY, "X"),
    "STE, last iterate": (style.VERMILLION, "^"),
    "STE, average": (style.GREEN, "o"),
    "STE, restart": (style.BLUE, "o"),
    "STE, average, identity": (style.GREEN, "o"),
    "STE, restart, identity": (style.BLUE, "o"),
}

table = Path(__file__).parents[2] / "benchmarks" / "papers" / "ladder.csv"
lines = table.read_text(encoding="utf-8").splitlines()
rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))

figure = Figure(figsize=(10, 6.6), layout="constrained")
drawn = {}
for ax, noise in zip(figure.subplots(1, 2), (0.0, 0.5), strict=True):
    for name, (colour, marker) in LOOKS.items():
        own = [row for row in rows if row["estimator"] == name and float(row["noise"]) == noise]
        if not own:
            continue
        n, value, low, high = np.array(
            [[float(row[key]) for key in ("n", "ratio", "low", "high")] for row in own]
        ).T
        hollow = {"mfc": "none", "ls": "--"} if "identity" in name else {}
        bars = np.maximum([value - low, high - value], 0)
        drawn[name] = ax.errorbar(
            n, value, bars, color=colour, marker=marker, ms=5, lw=1.3, label=name, **hollow
        )
    problem = st.Problem(n=1000, samples=1, noise=noise)
    limits = {
        "information": st.theory.samples_for_information(problem) / 1000,
        "message passing": st.theory.samples_for_messages(problem) / 1000,
    }
    if noise == 0:
        limits["message passing,\nnegatives only"] = 2 * limits["message passing"]  # which ReLU reads
    for words, limit in limits.items():
        limit_line = ax.axhline(limit, color=style.GREY, lw=1, ls=":")
        ax.text(1.01, limit, words, transform=ax.get_yaxis_transform(), va="center", size=7.5)
    ax.set(xscale="log", yscale="log")
    ticks = [8, 16, 32, 64, 128] if noise else [8, 16, 32, 64, 128, 256, 512, 1024]
    ax.set_xticks(ticks, ticks, fontsize=8)
    heights = (1, 2, 3, 5, 10, 20) if noise == 0 else (2, 5, 10, 20, 50, 100, 200)
    ax.set_yticks(heights, heights)
    ax.minorticks_off()
    ax.set_title("no label noise" if noise == 0 else "label noise σ = ½", loc="left", fontsize=11)
    ax.set(xlabel="number of weights n", ylabel="samples per weight, N₅₀/n")
    ax.spines[["top", "right"]].set_visible(False)
drawn["limit, n → ∞"] = limit_line
figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
style.save_figure(figure, sys.argv[1])
