"""One process for all tests whose trials run in processes of the user: it starts once."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest


@pytest.fixture(scope="session")
def processes():
    """An executor of the user."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool
