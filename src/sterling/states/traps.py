"""Whether a data set is trap free, without a table of losses and with an end at the first trap."""

from __future__ import annotations

from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.states.landscape import check_dimension, check_surrogate, number_of
from sterling.states.sweep import Show, only_absorbing, thread_count
from sterling.surrogates import Surrogate


def trap_free(
    instance: Instance,
    surrogate: str | Surrogate = "relu",
    *,
    progress: Show | None = None,
    threads: int | None = None,
) -> bool:
    """Whether no state but the teacher absorbs, so that no start can be caught: `Landscape.trap_free`.

    It costs as much as the landscape where the answer is yes, and mostly far less where it is no.

    Parameters
    ----------
    instance : Instance
        With a teacher, n ≤ 24.
    surrogate : str or Surrogate
        One with a piecewise-constant derivative.
    progress : callable, optional
        Gets a `Progress`, in states, several times a second; what it raises ends the visit.
    threads : int, optional
        All cores by default. The result does not depend on it.

    Raises
    ------
    InputError
        If n > 24, the surrogate is smooth, or there is no teacher.
    CapacityError
        If it would not fit into memory.
    """
    chosen = check_surrogate(surrogate)
    check_dimension(instance.n)
    if instance.teacher is None:
        raise InputError("the instance has no teacher: use landscape(instance).trap_free")
    return only_absorbing(instance, chosen, number_of(instance.teacher), thread_count(threads), progress)
