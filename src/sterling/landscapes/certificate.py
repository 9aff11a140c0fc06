"""Proofs for one data set: bounds on the mass at w*, for every start and all step sizes.

By the balance (docs/science, 13) every limit of the shares of mass π(D), D the set of wrong weights, lies in

    P = {π ≥ 0, Σ π = 1, Σ_D π(D) B′_k(D) ≥ 0 for all k},

B′_k(D) being b*_k G_k(D) for k in D and its positive part for k outside. Linear programs over P bound all
runs (`programs.py`), and `cases.py` sharpens the bound of π(∅). The dual vectors are the proof; `proof.py`
evaluates them over all states from the definition.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.base.arrays import check_signs
from sterling.base.checks import instance_of, integer, shown
from sterling.base.drawn import Drawn
from sterling.base.files import read_json, write_atomically
from sterling.base.progress import Progress, reporting
from sterling.base.text import Result, counted
from sterling.errors import InputError
from sterling.exact.mass import STEP_LIMIT
from sterling.landscapes.cases import MOST_CASES, MOST_STATES, branch
from sterling.landscapes.landscape import check_dimension, check_surrogate, landscape
from sterling.landscapes.numbering import members
from sterling.landscapes.programs import PRICED, absence, bounds
from sterling.landscapes.proof import check, clipped, judge
from sterling.landscapes.sweep import balances
from sterling.model.instance import Instance
from sterling.model.levels import require_two
from sterling.schedules import Constant, Power
from sterling.surrogates import Surrogate

FORMAT, VERSION = "sterling-certificate", 3

_CLAIMED = 4.0  # factor on rounding errors in claims: a check with sums in another order then cannot fail
_SHOWN = 10_000  # bounds are shown in units of 1/10,000
_LARGEST_FILE = 1 << 20  # bytes
_ROUNDING = 1e-9  # relative, far above the errors of sums of step sizes


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(Result, Drawn):
    """Proved bounds for one data set, for every start and every bounded, non-summable schedule.

    Parameters
    ----------
    occupancy : float
        Proved lower bound of the share of mass at the reference in the long run; 0 if nothing is proved.
    balance_occupancy : float
        The bound that the balance alone proves. A run of T steps can fall below it by at most the term in
        docs/science, 13, which follows from row 0 of ``duals``.
    wrong_share : float64 (n,)
        Proved upper bound of the share of mass in which each weight is wrong.
    absorbs : bool
        Whether a run that reaches the reference stays there.
    duals : float64 (n + 1, n)
        The proofs: row 0 proves `balance_occupancy`, row k + 1 the bound of weight k. No entry is negative.
    reference : int8 (n,)
        The teacher, or without one the first state of lowest empirical risk.
    surrogate : str
        Name of the surrogate.
    fingerprint : str
        Digest of the data.
    cases : int8 (count, n)
        Cases that exclude each other and cover everything: in each a weight is balanced (1), at rest (−1),
        or either (0). Empty if the dichotomy is not proved.
    case_duals : float64 (count, n)
        A proof for each case. The smallest of their bounds is the proved one.
    window, closed : (float, float), bool
        The interval on which the derivative of the surrogate is 1, and whether its ends belong to it.
    absence : float64 (2,)
        Proved bound of the mass of an absence from the reference: the first number times the last step size
        before it, plus the second times the largest step size in it. Infinite where nothing is proved.
    absence_dual : float64 (2, n)
        The proof of `absence`, λ and p. No entry is negative; all are zero where nothing is proved.

    Notes
    -----
    Exact: the balance, its proof and the proof of absences are in docs/science, 13. A dual vector λ ≥ 0
    proves π(∅) ≥ c where 1{D = ∅} − Σ_k λ_k B′_k(D) ≥ c for all D, and Σ_{D∋k} π(D) ≤ c where
    1{k ∈ D} + Σ_j λ_j B′_j(D) ≤ c. Within a case, a weight at rest is in no D; for a balanced weight, λ_k may
    have any sign and multiplies B_k(D).

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=6, samples=400, noise=0.5).draw(seed=0)
    >>> certificate = st.certify(instance)
    >>> certificate.recurrent, certificate.decodes
    (True, True)
    >>> bool(0 < certificate.occupancy < 1)
    True
    >>> longest = certificate.longest_absence()
    >>> bool((st.train(instance, steps=100_000, schedule=st.Constant(0.1)).return_times <= longest).all())
    True
    >>> certificate.verify(instance)
    True
    """

    _pictures = "sterling.plot.landscape", ("proved_shares",)

    occupancy: float
    balance_occupancy: float
    wrong_share: np.ndarray
    absorbs: bool
    duals: np.ndarray
    reference: np.ndarray
    surrogate: str
    fingerprint: str
    cases: np.ndarray
    case_duals: np.ndarray
    window: tuple[float, float]
    closed: bool
    absence: np.ndarray
    absence_dual: np.ndarray

    @property
    def n(self) -> int:
        """Dimension, the number of weights."""
        return len(self.reference)

    @property
    def recurrent(self) -> bool:
        """Whether the proof shows that runs leave the reference and return to it infinitely often."""
        return self.occupancy > 0 and not self.absorbs

    @property
    def decodes(self) -> bool:
        """Whether the proof shows that the sign of the time average is the reference in the long run."""
        return bool((self.wrong_share < 0.5).all())

    def longest_absence(self, schedule: Constant | Power | None = None, after: int = 0) -> int | None:
        """Return a proved upper bound of the length of every absence from the reference.

        An absence begins when a weight leaves the reference, and ends at the next visit: its length is an
        entry of `Orbit.return_times`. The time before the first visit is not an absence.

        Parameters
        ----------
        schedule : Constant or Power, optional
            Step sizes that do not grow. Without them, the bound is for every constant rate.
        after : int, optional
            Only absences that begin at this step or later count. Where rates fall, the bound falls with it.

        Returns
        -------
        int or None
            Number of steps, and 0 if the reference absorbs. None if no bound is proved for these data.

        Raises
        ------
        InputError
            If step sizes may grow, or if those from step ``after`` on sum to less than an absence may take.

        Notes
        -----
        Exact: docs/science, 13. The bound is for plain steps at the full batch, and for clipped ones where
        no step is longer than the clip.

        Examples
        --------
        >>> import sterling as st
        >>> certificate = st.certify(st.Problem(n=6, samples=400, noise=0.5).draw(seed=0))
        >>> certificate.longest_absence(), certificate.longest_absence(st.Power(0.5, 0.5), after=10)
        (7, 9)
        """
        first = max(integer(after, "after", 0, STEP_LIMIT), 1)
        if schedule is not None and not (isinstance(schedule, Constant | Power) and schedule.exponent >= 0):
            raise InputError(
                f"the bound is for step sizes that do not grow, and schedule is {shown(schedule)}: give a "
                "Constant, or a Power whose exponent is not negative"
            )
        if self.absorbs:
            return 0
        if not np.isfinite(self.absence).all():
            return None
        outward, overshoot = self.absence.tolist()
        if schedule is None:
            return math.floor((outward + overshoot) * (1 + _ROUNDING))
        # Σ η_t/η_a over the first L steps does not fall with a, and η_{a−1}/η_a does not rise.
        mass = outward * schedule.at(first - 1) + overshoot * schedule.at(first)
        end = schedule.first_reach(first, mass * (1 + _ROUNDING))
        if end is None:
            raise InputError(
                f"no bound is proved: the step sizes from step {first} on sum to less than the mass that an "
                "absence may take; give a schedule of infinite sum"
            )
        return end - 1 - first

    def verify(self, instance: Instance) -> bool:
        """Check the proofs on the data, with the definition of the gradient.

        Parameters
        ----------
        instance : Instance
            The data set of the certificate.

        Returns
        -------
        bool
            Whether the dual vectors prove every claimed bound, rounding errors included.

        Raises
        ------
        InputError
            If the certificate belongs to other data.
        """
        instance_of(instance, Instance, "instance", "the Instance that was certified")
        if instance.fingerprint != self.fingerprint:
            raise InputError("the certificate belongs to other data: give the instance that was certified")
        proofs = self.duals, self.cases, self.case_duals, self.absence_dual
        surrogate = Surrogate(self.surrogate, self.window, self.closed)
        proved = check(instance, surrogate, self.reference, *proofs)
        return (
            self.occupancy <= proved.occupancy
            and self.balance_occupancy <= proved.balance_occupancy
            and bool((self.wrong_share >= proved.wrong_share).all())
            and bool((self.absence >= proved.absence).all())
            and self.absorbs == proved.absorbs
        )

    def sentence(self) -> str:
        """Return the proved bounds in words.

        Returns
        -------
        str
            Two sentences.
        """
        if self.absorbs:
            first = "The reference absorbs: a run that reaches it stays there"
        elif self.recurrent:
            first = "From every start, runs return to the reference again and again, and spend "
            first += f"at least {_below(self.occupancy)} of the time there, weighted by step size"
        else:
            first = "Recurrence is not proved: the bound of the mass at the reference is 0"
        average = "are" if self.decodes else "are not proved to be"
        return f"{first}. The signs of the time average {average} those of the reference."

    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict()
        for name in ("window", "absence"):
            values[name] = [None if math.isinf(end) else end for end in values[name]]
        proved = {"recurrent": self.recurrent, "decodes": self.decodes}
        return {"format": FORMAT, "version": VERSION, **values, **proved}

    def _rows(self) -> list[tuple[str, str]]:
        absence = self.longest_absence()
        longest = "not bounded" if absence is None else f"at most {counted(absence, 'step')}"
        longest = "none after the first visit" if self.absorbs else longest
        return [
            ("recurrence", "proved" if self.recurrent else "not proved"),
            ("share of mass at the reference", f"at least {_below(self.occupancy)}"),
            ("longest absence, constant step size", longest),
            ("share of mass in which a weight is wrong", f"at most {_above(self.wrong_share.max())}"),
            ("signs of the time average are right", "proved" if self.decodes else "not proved"),
            ("reference absorbs", "yes" if self.absorbs else "no"),
            (
                "holds for",
                "every start and all bounded step sizes with an infinite sum, without damping (exact)",
            ),
        ]

    def __repr__(self) -> str:
        return (
            f"Certificate(n={self.n}, occupancy>={_below(self.occupancy)}, "
            f"wrong_share<={_above(self.wrong_share.max())}, recurrent={self.recurrent}, "
            f"decodes={self.decodes})"
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write the certificate as JSON, whole or not at all.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        write_atomically(path, json.dumps(self.to_dict(), indent=1).encode())

    @staticmethod
    def load(path: str | os.PathLike) -> Certificate:
        """Read a certificate that `save` wrote; `verify` checks whether its claims are proved.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Certificate
            The saved certificate. `load` checks the form of the claims, `verify` their truth.

        Raises
        ------
        StoreError
            If the file cannot be read or is not a certificate.
        """
        return read_json(path, _from_dict, "is not a certificate of sterling", _LARGEST_FILE)


def certify(
    instance: Instance,
    surrogate: str | Surrogate = "relu",
    *,
    threads: int | None = None,
    progress: bool | Callable[[Progress], None] = False,
) -> Certificate:
    """Prove how a run on a data set behaves in the long run, for every start and all step sizes.

    Parameters
    ----------
    instance : Instance
        The data set, with n ≤ 24. The proof needs memory for 2ⁿ rows of n numbers, 8 bytes each.
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`. It must be piecewise constant.
    threads : int, optional
        Number of threads, all cores by default; results are the same for any value.
    progress : bool or callable
        True shows a display; a callable gets a `Progress` at intervals.

    Returns
    -------
    Certificate
        Bounds with the dual vectors that prove them.

    Raises
    ------
    InputError
        If n is too large or the surrogate is smooth.
    CapacityError
        If the table of states does not fit into memory.

    Notes
    -----
    Linear programs over the polytope of the balance (docs/science, 13; exact), by column generation with
    SciPy's HiGHS. Schedules must have bounded step sizes whose sum is infinite.

    The bounds of shares of mass are about runs without damping (θ = 0). They cover gradient steps at the full
    batch; with `Batch(size, replace=True)`, almost surely; with momentum, where η_{t+1}/η_t → 1; with a band;
    and with clipping at the full batch, where no step is longer than the clip. Not covered: shuffled epochs,
    clipping with batches or momentum, decay, damping, Adam, Lion, SignSGD and Bop.

    Examples
    --------
    >>> import sterling as st
    >>> certificate = st.certify(st.Problem(n=6, samples=400, noise=0.5).draw(seed=0))
    >>> certificate.recurrent
    True
    """
    instance_of(instance, Instance, "instance", "an Instance, such as problem.draw(0)")
    require_two(instance, "certify is")
    chosen = check_surrogate(surrogate)
    check_dimension(instance.n)
    reference = landscape(instance).reference if instance.teacher is None else instance.teacher
    table = balances(instance, chosen, reference, threads, progress)
    # The table becomes B′. For more states no cases are used, and B′ gives the bounds of the balance.
    pushes = table.copy() if len(table) <= MOST_STATES else table
    for first in range(0, len(table), PRICED):
        block = table[first : first + PRICED]
        block[:] = clipped(block, members(first + np.arange(len(block)), instance.n))
    with reporting(progress, "bounds") as show:
        duals = bounds(table, show)
    cases, case_duals = branch(pushes, table)
    blocks = ((first, pushes[first : first + PRICED]) for first in range(0, len(table), PRICED))
    proofs = duals, cases, case_duals, absence(table)
    proved = judge(blocks, instance, reference, chosen, *proofs, margin=_CLAIMED)
    return Certificate(
        **proved._asdict(),
        duals=duals,
        reference=reference,
        surrogate=chosen.name,
        fingerprint=instance.fingerprint,
        cases=cases,
        case_duals=case_duals,
        window=chosen.window,  # type: ignore[arg-type]
        closed=chosen.closed,
        absence_dual=proofs[-1],
    )


def _below(bound: float) -> str:
    """Return a lower bound, rounded down to four decimals."""
    return f"{math.floor(bound * _SHOWN) / _SHOWN:g}"


def _above(bound: float) -> str:
    """Return an upper bound, rounded up to four decimals."""
    return f"{math.ceil(bound * _SHOWN) / _SHOWN:g}"


def _from_dict(facts: dict[str, Any]) -> Certificate:
    """Return the certificate of a dictionary, or raise ValueError, TypeError or KeyError."""
    if (facts["format"], facts["version"]) != (FORMAT, VERSION):
        raise ValueError(f"its format is {facts['format']} {facts['version']}")
    n = len(facts["reference"])
    surrogate = Surrogate(facts["surrogate"], facts["window"], facts["closed"])
    shapes = {"wrong_share": n, "duals": (n + 1, n), "cases": (-1, n), "absence": 2, "absence_dual": (2, n)}
    arrays = {name: np.array(facts[name], np.float64).reshape(shape) for name, shape in shapes.items()}
    cases = arrays["cases"]
    away = np.nan_to_num(arrays["absence"], nan=math.inf, posinf=math.inf)
    occupancy, alone = float(facts["occupancy"]), float(facts["balance_occupancy"])
    shares = np.append(arrays["wrong_share"], (occupancy, alone))
    if not (((shares >= 0) & (shares <= 1)).all() and (away >= 0).all()):
        raise ValueError("a share of mass is not between 0 and 1, or the bound of an absence is negative")
    if len(cases) > MOST_CASES or not np.isin(cases, (-1, 0, 1)).all():
        raise ValueError("its cases are too many, or not 1, 0 and -1")
    given = {
        "occupancy": occupancy,
        "balance_occupancy": alone,
        "absorbs": facts["absorbs"] is True,
        "reference": check_signs(facts["reference"], n, "reference"),
        "surrogate": surrogate.name,
        "fingerprint": str(facts["fingerprint"]),
        "cases": cases.astype(np.int8),
        "case_duals": np.array(facts["case_duals"], np.float64).reshape(cases.shape),
        "window": surrogate.window,
        "closed": surrogate.closed,
        "absence": away,
    }
    return Certificate(**{**arrays, **given})
