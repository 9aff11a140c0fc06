"""The seeds of a trial, from the root seed of its study, its cell and its number."""

from __future__ import annotations

import numpy as np

from sterling.base import checks
from sterling.study.kind import Cell, Seeds


def trial_seeds(root: int, cell: Cell, number: int) -> Seeds:
    """Return the seeds of a trial.

    Each is the first word of SeedSequence(root, spawn_key=(hash as 32-bit words, number)), without its lowest
    bit. The hash is that of the problem for ``data``, and that of the cell for ``rest``.

    Parameters
    ----------
    root, cell, number : int, Cell, int
        The seed of the study, the cell of the trial, and its number.

    Returns
    -------
    Seeds
        Both seeds of the trial.

    Examples
    --------
    >>> import sterling as st
    >>> from sterling.study import Cell, trial_seeds
    >>> problem = st.Problem(n=8, samples=50)
    >>> cells = [Cell("train", problem, {"surrogate": name}) for name in ("relu", "identity")]
    >>> one, two = (trial_seeds(0, cell, 3) for cell in cells)
    >>> one.data == two.data, one.rest == two.rest
    (True, False)
    """
    checks.instance_of(cell, Cell, "cell", "a Cell")
    root, number = checks.integer(root, "root", 0), checks.integer(number, "number", 0)
    return Seeds(_seed(root, cell.data_key, number), _seed(root, cell.key, number))


def _seed(root: int, key: str, number: int) -> int:
    hashed = np.frombuffer(bytes.fromhex(key), "<u4").tolist()
    sequence = np.random.SeedSequence(root, spawn_key=(*hashed, number))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
