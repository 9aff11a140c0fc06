"""Arguments: numbers of Python and NumPy are equal citizens, and what is refused is named."""

import math

import numpy as np
import pytest

from sterling.base import checks
from sterling.errors import InputError, InputTypeError


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float64(3), "3", None, [3], 1j])
def test_what_is_no_integer(value):
    with pytest.raises(InputTypeError, match="steps") as caught:
        checks.integer(value, "steps")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.nan, 10**400])
def test_numbers_must_be_finite(value):
    with pytest.raises(InputError, match="finite"):
        checks.real(value, "rate")


def test_seeds():
    sequence = np.random.SeedSequence(3)
    assert checks.seed(np.uint64(7)) == 7
    assert checks.seed(sequence) is sequence
    first, second = (checks.seed(np.random.default_rng(5)) for _ in range(2))
    assert first == second
    for wrong in (-1, 1.5, True, "1"):
        with pytest.raises(InputError):
            checks.seed(wrong)
