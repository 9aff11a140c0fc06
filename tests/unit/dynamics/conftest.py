"""Data that many tests run on."""

import pytest

import sterling as st


@pytest.fixture(scope="session")
def noisy():
    return st.Problem(n=8, samples=60, m=2, noise=0.5).draw(0)


@pytest.fixture(scope="session")
def clean():
    return st.Problem(n=8, samples=200).draw(0)
