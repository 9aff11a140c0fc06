"""One browser for all tests. Without one they are skipped, or fail if STERLING_REQUIRE_BROWSER is set."""

import os

import pytest

from sterling.report.explore import write_explorable
from tests.browsing import MISSING, drawn, look, start, visit


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


@pytest.fixture
def page(driver, address, request):
    """The page, opened afresh as `OPENED` of a file says; at the end of a test the console must be empty."""
    fragment, width, height = getattr(request.module, "OPENED", ("", 1280, 844))
    look(driver, "light", width, height=height)
    driver.get_log("browser")
    visit(driver, address + fragment, drawn)
    yield driver
    assert driver.get_log("browser") == []
