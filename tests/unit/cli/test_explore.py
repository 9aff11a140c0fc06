"""`sterling explore`: what it writes, what it opens, what it refuses."""

import webbrowser

import pytest
from typer.testing import CliRunner

from sterling.cli.verbs import app


@pytest.fixture
def opened(monkeypatch):
    """The addresses that a browser would have been sent to."""
    addresses = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def call(*arguments, code=0):
    result = CliRunner().invoke(app, ["explore", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_the_page_is_written_and_opened(tmp_path, opened):
    path = tmp_path / "new" / "page.html"
    assert str(path) in call("-o", path, "--open").stdout
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert opened == [path.as_uri()]


def test_nothing_is_opened_unasked_where_nobody_looks(tmp_path, opened):
    call("-o", tmp_path / "page.html")
    call("-o", tmp_path / "page.html", "--no-open")
    assert opened == []


def test_without_a_browser_the_page_is_there_and_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    result = call("-o", tmp_path / "page.html", "--open")
    assert "no browser" in result.stderr
    assert (tmp_path / "page.html").exists()


def test_what_is_no_place_for_a_page_is_refused(tmp_path, opened):
    assert ".html" in call("-o", tmp_path / "page.png", code=2).stderr
    (tmp_path / "file").write_text("")
    assert "folder" in call("-o", tmp_path / "file" / "page.html", code=2).stderr
    (tmp_path / "folder.html").mkdir()
    assert "folder" in call("-o", tmp_path / "folder.html", code=2).stderr
    assert opened == []
