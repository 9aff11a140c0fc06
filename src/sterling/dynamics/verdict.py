"""Verdicts: how a run ended, and the words for it."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """How a run ended.

    Attributes
    ----------
    value : str
        The name in small letters, such as "optimal".
    meaning : str
        Meaning of the verdict and advice, as the second half of a sentence.

    Examples
    --------
    >>> import sterling as st
    >>> verdict = st.train(st.Problem(n=8, samples=200).draw(seed=0), steps=1000).verdict
    >>> verdict
    Verdict.OPTIMAL
    >>> verdict.value, verdict.meaning[:23]
    ('optimal', 'absorbed at the teacher')
    """

    meaning: str

    OPTIMAL = "optimal", "absorbed at the teacher or at zero empirical risk: the weights never change again"
    TRAPPED = "trapped", "absorbed elsewhere: more steps or other step sizes will not help, more samples may"
    RECURRENT = (
        "recurrent",
        "the reference was left and visited again: decode with the time average, or take more samples",
    )
    CHATTERING = (
        "chattering",
        "the weights that are wrong keep each other wrong: trust the time average, or take ergodic restarts",
    )
    WANDERING = (
        "wandering",
        "neither a certain rest nor a return was seen: more steps or samples may decide",
    )
    STALLED = (
        "stalled",
        "the step sizes sum to less than the next flip needs: take step sizes of infinite sum",
    )

    def __new__(cls, value: str, meaning: str) -> Verdict:
        """Store the meaning apart from the value, so that ``Verdict("optimal")`` works."""
        verdict = object.__new__(cls)
        verdict._value_ = value
        verdict.meaning = meaning
        return verdict

    @property
    def absorbed(self) -> bool:
        """Whether the weights can never change again: OPTIMAL and TRAPPED."""
        return self in (Verdict.OPTIMAL, Verdict.TRAPPED)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Verdict.{self.name}"
