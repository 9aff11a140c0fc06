"""The README and the documentation: every block of code runs, links and references lead somewhere."""

from __future__ import annotations

import doctest
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

import sterling as st
from sterling.claims import catalogue, experiments
from sterling.claims.context import Context
from sterling.claims.finding import Judgement
from sterling.cli.verbs import app
from sterling.study import Study
from tests.support import ROOT

DOCS = ROOT / "docs"
#: What is made when the site is built is no page of ours.
GENERATED = {"_generated", "_build", "generated"}
PAGES = [ROOT / "README.md", *(p for p in sorted(DOCS.rglob("*.md")) if not GENERATED & set(p.parts))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
#: Commands that take long, or that need what a test has not: their options are checked, they are not run.
ONLY_PARSED = ("reproduce", "study", "explore", "doctor", "audit", "plan --n 16")

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the blocks of a page in these languages."""
    return [
        text for language, text in _FENCE.findall(page.read_text(encoding="utf-8")) if language in languages
    ]


def anchors(page: Path) -> set[str]:
    """Return the names of the headings of a page, as links write them."""
    headings = _HEADING.findall(re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def desk(tmp_path, monkeypatch, registries):
    """An empty folder with the examples in it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python", "pycon")], ids=lambda page: page.stem
)
def test_the_code_of_a_page_runs(page, desk):
    """The blocks of a page run one after the other; those with prompts give what the page says."""
    namespace: dict = {"__name__": "page"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for block in blocks(page, "python", "pycon"):
        if ">>> " not in block:
            exec(compile(block, str(page), "exec"), namespace)
            continue
        test = doctest.DocTestParser().get_doctest(block, namespace, page.name, str(page), 0)
        test.globs = namespace  # names go on from block to block
        told: list[str] = []
        runner.run(test, out=told.append, clear_globs=False)
        assert not told, "".join(told)


def commands() -> list[tuple[str, str]]:
    """Return the lines of all pages that call the command line."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            lines = [line.split("  #")[0].strip() for line in block.splitlines()]
            calls = (re.match(r"(?:\S*/)?sterling (.*)", line) for line in lines)
            found += [(page.stem, call[1]) for call in calls if call]
    return found


@pytest.mark.parametrize("page, line", commands())
def test_a_command_of_a_page_is_one(page, line, desk):
    words = line.split()
    if line.startswith(ONLY_PARSED):
        words.append("--help")  # comes after the options are read: wrong ones are refused all the same
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_study_of_a_page_is_one(page, desk):
    for number, block in enumerate(blocks(page, "toml")):
        if "[problem]" in block:
            path = desk / f"{number}.toml"
            path.write_text(block, encoding="utf-8")
            assert Study.from_toml(path).cells or Study.from_toml(path).series
        else:
            tomllib.loads(block)


def test_the_claim_of_the_page_is_found_and_measured(tmp_path, monkeypatch):
    """A claim is one file: put where claims lie, it is in the catalogue, and it gives a finding."""
    page = DOCS / "extending.md"
    code = next(block for block in blocks(page, "python") if "CLAIM = Claim(" in block)
    (tmp_path / "ample_of_the_page.py").write_text(code)
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    claim = catalogue.find()["ample"]
    finding = claim.measure(Context(tmp_path / "rows"), claim.budgets["quick"])
    assert finding.judgement is Judgement.CONSISTENT
    assert "one half" in finding.rule


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_inside_the_repository_lead_somewhere(page):
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("_generated/") or "/_generated/" in target:
            continue  # pictures are made when the site is built, and Sphinx refuses missing ones
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor and path.suffix == ".md" and not anchor.startswith("sterling."):
            assert anchor in anchors(path), f"{target}#{anchor}"


def test_every_page_is_listed():
    """What no table of contents names is a page that nobody finds."""
    for page in PAGES[1:]:
        if page.name != "index.md" or page.parent != DOCS:
            home = page.parent if page.name != "index.md" else page.parent.parent
            name = page.stem if page.name != "index.md" else f"{page.parent.name}/index"
            assert re.search(rf"^{name}$", (home / "index.md").read_text(encoding="utf-8"), re.M), page


def sections() -> set[int]:
    """Return the numbers of the sections of the science."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "science").glob("*.md"))
    return {int(number) for number in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)}


def references() -> list[tuple[str, str]]:
    """Return all places that name a section of the science, with its numbers: "docs/science, 3 and 5"."""
    pattern = re.compile(r"science(?:\.md)?,? (?:section |sections )?(\d+(?:(?:, | and | to )\d+)*)")
    files = [f for room in ("src", "benchmarks", "tests") for f in sorted((ROOT / room).rglob("*.py"))]
    files += [f for kind in ("js", "html") for f in sorted((ROOT / "src").rglob(f"*.{kind}"))]
    files += [ROOT / "README.md", ROOT / "CHANGELOG.md", DOCS / "decisions.md", DOCS / "extending.md"]
    found = []
    for file in files:
        text = re.sub(r"\s+(?:(?:#:?|//|\*) )?", " ", file.read_text(encoding="utf-8"))
        found += [(str(file.relative_to(ROOT)), numbers) for numbers in pattern.findall(text)]
    return found


def test_sections_are_numbered_without_a_gap():
    assert sections() == set(range(1, 16))


def test_references_to_the_science_lead_to_a_heading():
    found = references()
    assert len(found) > 30
    known = sections()
    wrong = [(file, text) for file, text in found if not {int(n) for n in re.findall(r"\d+", text)} <= known]
    assert wrong == []


def test_the_gallery_shows_every_program():
    scripts = sorted(path.stem for path in (DOCS / "gallery").glob("*.py"))
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert len(scripts) >= 6
    assert sorted(re.findall(r"\(_generated/gallery/(\w+)\.svg\)", text)) == scripts
    assert sorted(re.findall(r"literalinclude\} gallery/(\w+)\.py", text)) == scripts


def test_the_moving_picture_is_what_its_program_draws(tmp_path):
    """And what its words say: a few kilobytes, of a run that recurs while its average is right."""
    committed = DOCS / "images" / "moving.svg"
    program = [sys.executable, committed.with_suffix(".py"), tmp_path / "moving.svg"]
    told = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    assert (tmp_path / "moving.svg").read_bytes() == committed.read_bytes()
    assert committed.stat().st_size < 50_000
    assert "RECURRENT" in told
    assert "ergodic_errors=0" in told


@pytest.mark.parametrize("module", ["", "theory", "study", "learn", "torch"])
def test_every_public_name_has_its_entry(module):
    """The pages on the interface list the functions and classes of `__all__`, and no others, once."""
    home = import_module(f"sterling.{module}".rstrip("."))
    public = {name for name in home.__all__ if callable(getattr(home, name))}
    pages = (
        [DOCS / "api" / f"{module}.md"] if module else [DOCS / "api" / "index.md", DOCS / "api" / "errors.md"]
    )
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert sorted(re.findall(r"^   (\w+)$", text, re.MULTILINE)) == sorted(public)


def test_the_readme_says_where_laws_were_compared_with_runs():
    """In the words of the functions."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    said = (
        "first was compared with runs at n = 64 and 128 (σ = 0.5), the second at n = 16 to 128 (σ = 0.1 to 2)"
    )
    assert said in text
    average, occupancy = st.theory.samples_for_average.checked, st.theory.samples_for_occupancy.checked
    assert "n = 128, m = 4, σ = 0 and 0.5, and n = 64, σ = 0.5" in average
    assert "n = 16 to 128" in occupancy
    assert "σ = 0.1 to 2" in occupancy


def test_claims_that_pages_name_exist():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = {key for keys in re.findall(r"--only ([\w,]+)", text) for key in keys.split(",")}
    assert {"P5"} <= found <= set(catalogue.find())


def test_every_benchmark_is_listed():
    """Those that say how they are called, and no others, once."""
    folder = ROOT / "benchmarks"
    names = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file.read_text(encoding="utf-8")
        for file in (*folder.glob("*.py"), *folder.glob("papers/*.py"))
    }
    called = {name for name, text in names.items() if f"python -m {name}" in text}
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `python -m ([\w.]+)", page, re.MULTILINE)) == called


def test_programs_that_pages_name_exist():
    """Benchmarks, tests and examples, as pages and the package call them."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"python -m (benchmarks\.[\w.]*\w)", text):
            program = ROOT / name.replace(".", "/")
            assert program.with_suffix(".py").exists() or (program / "__main__.py").exists(), (page, name)
        for name in re.findall(r"`((?:tests|examples|benchmarks|docs)/[\w/.-]+)`", text):
            assert (ROOT / name).exists(), (page, name)
