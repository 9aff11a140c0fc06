"""What holds for all tests."""

import signal

import pytest

from sterling.base import registry

# A job in the background is started with Ctrl-C ignored, and its children inherit that; the tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def registries(monkeypatch):
    """Forget after the test what it registers."""
    for one in registry._ALL:
        monkeypatch.setattr(one, "_things", dict(one._things))
