"""What is published: the files and the metadata of the wheel, version, citation, changelog, workflow."""

from __future__ import annotations

import re
import zipfile
from email import message_from_bytes
from pathlib import PurePosixPath

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from trove_classifiers import classifiers

import sterling as st
from tests.support import ROOT

#: What users need: code, the typing mark, and what the pages are made of.
SUFFIXES = {".py", ".html", ".css", ".js", ".typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the sources as they are."""
    folder = tmp_path_factory.mktemp("dist")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        yield archive


def metadata(wheel):
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_the_wheel_holds_what_users_need_and_nothing_else(wheel):
    names = [PurePosixPath(name) for name in wheel.namelist()]
    code = [name for name in names if name.parts[0] == "sterling"]
    rest = [name for name in names if name.parts[0] != "sterling"]
    assert {name.suffix for name in code} == SUFFIXES
    there = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src" / "sterling").rglob("*")}
    assert {str(name) for name in code} <= there
    assert len([name for name in code if name.suffix == ".py"]) > 100
    assert all(name.parts[0].endswith(".dist-info") for name in rest)
    assert any(name.parts[1:] == ("licenses", "LICENSE") for name in rest)
    assert sum(info.file_size for info in wheel.infolist()) < 5_000_000


def test_the_metadata_say_what_is_so(wheel):
    told = metadata(wheel)
    assert told["Name"] == "sterling"
    assert told["Version"] == st.__version__
    assert told["License-Expression"] == "Apache-2.0"
    assert set(told.get_all("Classifier")) <= set(classifiers)
    extras = set(told.get_all("Provides-Extra"))
    assert {"learn", "torch", "cluster", "docs", "dev"} <= extras
    oldest = told["Requires-Python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {oldest}" in told.get_all("Classifier")


def test_the_version_stands_in_one_place():
    for name in ("pyproject.toml", "CITATION.cff", "docs/conf.py", "SECURITY.md"):
        assert st.__version__ not in (ROOT / name).read_text(encoding="utf-8"), name


def test_the_changelog_is_in_order():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d+(?:\.\d+)*)\]", text, re.MULTILINE)
    assert versions[0] == st.__version__
    numbers = [tuple(map(int, version.split("."))) for version in versions]
    assert numbers == sorted(numbers, reverse=True)
    sections = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_has_what_the_format_asks_for():
    """Citation File Format 1.2.0: required keys, and authors with a name."""
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= told.keys()
    assert told["cff-version"] == "1.2.0"
    assert told["type"] in ("software", "dataset")
    people = [*told["authors"], *(one for work in told["references"] for one in work["authors"])]
    assert all(one.keys() & {"name", "family-names"} for one in people)


def test_the_workflow_runs_what_ci_runs():
    told = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    commands = [step.get("run", "") for job in told["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in commands
    tested = set(told["jobs"]["package"]["strategy"]["matrix"]["python"])
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert tested == set(re.findall(r"Programming Language :: Python :: (3\.\d+)", text))
