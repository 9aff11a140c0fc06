"""What holds for all tests."""

import gc
import os
import signal
import sys

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # A file on each core: further threads of linear algebra would only wait for one another, and by spinning.
    assert "numpy" not in sys.modules  # which reads them once
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from sterling.base import registry

# A job in the background is started with Ctrl-C ignored, and its children inherit that; the tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    gc.freeze()  # half a million objects of tests and libraries: no search for garbage need look at them
    gc.set_threshold(10_000)


@pytest.fixture
def registries():
    """Forget after the test what it registers."""
    before = [(one, dict(one)) for one in registry._ALL]
    yield
    for one, things in before:
        one.clear()
        one.update(things)
