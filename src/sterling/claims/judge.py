"""Rules that judge measured numbers; each rule can also be put in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sterling.base.text import sentence
from sterling.claims.finding import Judgement


class Case(NamedTuple):
    """One judgement, and all the conditions that it needs: in words, and as functions of the evidence."""

    judgement: Judgement
    conditions: tuple[tuple[str, Callable[..., bool]], ...]

    def unmet(self, piece: tuple[Any, ...]) -> list[str]:
        """Return the conditions, in words, that a piece of evidence does not meet."""
        return [text for text, holds in self.conditions if not holds(*piece)]


@dataclass(frozen=True)
class Rule:
    """Cases, of which the first that holds decides; if none holds, the judgement is "not decided"."""

    cases: tuple[Case, ...]
    note: str = ""  # whole sentences that follow the cases

    def judge(self, pieces: Iterable[tuple[Any, ...]]) -> Judgement:
        """Judge every piece of evidence and return the common judgement.

        This is "contradicted" if one piece is, else "not decided" if one piece is or there is no evidence,
        else "far inside" if all pieces are, else "consistent".
        """
        found = {self._judge(piece) for piece in pieces}
        for judgement in (Judgement.CONTRADICTED, Judgement.NOT_DECIDED, Judgement.CONSISTENT):
            if judgement in found:
                return judgement
        return Judgement.FAR_INSIDE if found else Judgement.NOT_DECIDED

    def _judge(self, piece: tuple[Any, ...]) -> Judgement:
        found = (case.judgement for case in self.cases if not case.unmet(piece))
        return next(found, Judgement.NOT_DECIDED)

    def missing(self, pieces: Iterable[tuple[Any, ...]]) -> tuple[str, ...]:
        """Return, in words, the conditions of agreement that undecided pieces of evidence do not meet."""
        (needed,) = (case for case in self.cases if case.judgement is Judgement.CONSISTENT)
        left = [piece for piece in pieces if self._judge(piece) is Judgement.NOT_DECIDED]
        return tuple(dict.fromkeys(text for piece in left for text in needed.unmet(piece)))

    @property
    def words(self) -> str:
        """The rule in sentences, one for each case."""
        parts = []
        for case in self.cases:
            words = [text for text, _ in case.conditions]
            where = f"these {len(words)} things hold" if words[1:] else words[0]
            parts.append(sentence(f"{case.judgement} where {where}"))
            parts += [f"({k}) {sentence(one)}" for k, one in enumerate(words, 1) if words[1:]]
        return " ".join([*parts, "Not decided otherwise.", self.note]).strip()


def _case(judgement: Judgement, *conditions: Any) -> Case:
    """Return a case from the words and the test of each condition, in turn."""
    return Case(judgement, tuple(zip(conditions[::2], conditions[1::2], strict=True)))


consistent = partial(_case, Judgement.CONSISTENT)
contradicted = partial(_case, Judgement.CONTRADICTED)
far_inside = partial(_case, Judgement.FAR_INSIDE)
