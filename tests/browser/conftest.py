"""The browser of these tests, one for all. Where it is missing they are skipped with the reason, or fail if
STERLING_REQUIRE_BROWSER is set, as in ``.ci/run``."""

import os

import pytest

from tests.browsing import MISSING, start


@pytest.fixture(scope="session")
def driver():
    started = start()
    if started is None:
        (pytest.fail if os.environ.get("STERLING_REQUIRE_BROWSER") else pytest.skip)(MISSING)
    yield started
    started.quit()
