"""Every block of Python in the README and in the documentation runs, and says what is true."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sterling.claims import catalogue, experiments
from sterling.claims.context import Context
from sterling.claims.finding import Judgement
from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    """Return the blocks of Python of a page."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, registries):
    """The blocks of a page run one after the other, in an empty folder with the examples in it."""
    shutil.copytree(ROOT / "examples" / "data", tmp_path / "examples" / "data")
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "page"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


def test_the_claim_of_the_page_is_found_and_measured(tmp_path, monkeypatch):
    """A claim is one file: put where claims lie, it is in the catalogue, and it gives a finding."""
    page = ROOT / "docs" / "extending.md"
    code = next(block for block in blocks(page) if "CLAIM = Claim(" in block)
    (tmp_path / "ample_of_the_page.py").write_text(f"from sterling.study import Study\n{code}")
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    claim = catalogue.find()["ample"]
    finding = claim.measure(Context(tmp_path / "rows"), claim.budgets["quick"])
    assert finding.judgement is Judgement.CONSISTENT
    assert "one half" in finding.rule


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
