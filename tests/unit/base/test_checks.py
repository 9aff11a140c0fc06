"""Arguments: numbers of Python and NumPy are equal citizens, and what is refused is named."""

import math

import numpy as np
import pytest

from sterling.base import checks
from sterling.errors import InputError, InputTypeError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.int16(3)])
def test_integers_come_back_plain(value):
    found = checks.integer(value, "steps", 1, 5)
    assert (type(found), found) == (int, 3)


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float64(3), "3", None, [3], 1j])
def test_what_is_no_integer(value):
    with pytest.raises(InputTypeError, match="steps") as caught:
        checks.integer(value, "steps")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(("value", "least", "most"), [(0, 1, None), (6, 1, 5), (-1, 0, None), (9, None, 8)])
def test_integers_out_of_bounds(value, least, most):
    with pytest.raises(InputError) as caught:
        checks.integer(value, "steps", least, most)
    assert not isinstance(caught.value, TypeError)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2)])
def test_numbers_come_back_plain(value):
    found = checks.real(value, "rate", above=0)
    assert (type(found), found) == (float, 2.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.nan, 10**400])
def test_numbers_must_be_finite(value):
    with pytest.raises(InputError, match="finite"):
        checks.real(value, "rate")


@pytest.mark.parametrize("value", ["2", None, True, [2.0], 2j])
def test_what_is_no_number(value):
    with pytest.raises(InputTypeError, match="rate"):
        checks.real(value, "rate")


def test_ends_that_belong_and_ends_that_do_not():
    assert checks.real(0, "x", least=0, below=1) == 0
    for value, limits in ((1, {"below": 1}), (0, {"above": 0}), (1.1, {"most": 1}), (-0.1, {"least": 0})):
        with pytest.raises(InputError):
            checks.real(value, "x", **limits)


def test_choices():
    assert checks.choice("relu", "surrogate", ("relu", "identity")) == "relu"
    with pytest.raises(InputError, match="did you mean 'relu'"):
        checks.choice("rely", "surrogate", ("relu", "identity"))
    with pytest.raises(InputTypeError):
        checks.choice(3, "surrogate", ("relu",))


def test_flags():
    assert checks.flag(np.True_, "record") is True
    with pytest.raises(InputTypeError):
        checks.flag(1, "record")


def test_seeds():
    sequence = np.random.SeedSequence(3)
    assert checks.seed(np.uint64(7)) == 7
    assert checks.seed(sequence) is sequence
    first, second = (checks.seed(np.random.default_rng(5)) for _ in range(2))
    assert first == second
    for wrong, error in (
        (-1, InputError),
        (1.5, InputTypeError),
        (True, InputTypeError),
        ("1", InputTypeError),
    ):
        with pytest.raises(error):
            checks.seed(wrong)


def test_long_values_are_cut():
    for value in ("x" * 10_000, 10**5000, -(10**5000), list(range(1000)), "a\nb"):
        text = checks.shown(value)
        assert len(text) <= 70
        assert "\n" not in text
