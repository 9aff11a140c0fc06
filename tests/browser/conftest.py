"""One browser for all tests. Without one they are skipped, or fail if STERLING_REQUIRE_BROWSER is set."""

import os

import pytest

from sterling.report.explore import write_explorable
from tests.browsing import MISSING, start


@pytest.fixture(scope="session")
def driver():
    started = start()
    if started is None:
        (pytest.fail if os.environ.get("STERLING_REQUIRE_BROWSER") else pytest.skip)(MISSING)
    yield started
    started.quit()


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """The address of the explorable page."""
    return write_explorable(tmp_path_factory.mktemp("explore") / "explore.html").as_uri()
