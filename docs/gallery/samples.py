"""How many samples STE needs: a study of many trials, its success curves and the power law between them."""

import sys
from tempfile import TemporaryDirectory

from sterling.plot import style
from sterling.plot.study import figure
from sterling.study import Store, Study, fit_store, run

study = Study(
    n=[8, 16, 32],
    samples={"c": [1, 1.6, 2.5, 4, 6.3], "a": 1},  # N = c·n^a
    steps=10_000,
    trials=60,
    criteria="optimal",
    name="samples without label noise",
)
with TemporaryDirectory() as folder:
    run(study, f"{folder}/study")
    store = Store(f"{folder}/study")
    (series,) = fit_store(store)
    style.save_figure(figure(series, store.counts("optimal")), sys.argv[1])
