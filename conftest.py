"""What holds for all tests, the examples in docstrings included."""

import gc
import locale
import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# Settings of the person who runs the tests must not change what the tests see: colours, widths, encodings.
for name in ("FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS", "LINES"):
    os.environ.pop(name, None)
os.environ["PYTHONUTF8"] = "1"  # for the processes that tests start
locale.setlocale(locale.LC_CTYPE, "C.UTF-8" if sys.platform == "linux" else "")

if "PYTEST_XDIST_WORKER" in os.environ:
    # The tests use every core already: threads of linear algebra would only wait for each other, by spinning.
    assert "numpy" not in sys.modules  # NumPy reads these variables once
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from sterling.base import registry  # noqa: E402

# A shell starts background jobs with Ctrl-C ignored, and children inherit that; some tests press Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Drawn cases are the same in every run of the tests.
settings.register_profile(
    "fixed", derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("fixed")


def pytest_addoption(parser):
    parser.addoption(
        "--thorough", action="store_true", help="run the oracles on as many cases as the bars ask"
    )


def pytest_configure(config):
    if config.getoption("thorough"):
        os.environ["STERLING_THOROUGH"] = "1"  # for modules of tests, and for processes of xdist


def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            item.add_marker(pytest.mark.filterwarnings("error"))  # a file left open, for instance


def pytest_collection_finish():
    gc.freeze()  # half a million objects of tests and libraries: the garbage collector need not visit them
    gc.set_threshold(10_000)


@pytest.fixture
def registries():
    """Forget after the test what it registers."""
    before = [(one, dict(one)) for one in registry._ALL]
    yield
    for one, things in before:
        one.clear()
        one.update(things)


@pytest.fixture(autouse=True)
def doctest_folder(request):
    """Examples in docstrings may write files and register things: each runs in an empty folder."""
    if isinstance(request.node, pytest.DoctestItem):
        request.getfixturevalue("registries")
        request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
