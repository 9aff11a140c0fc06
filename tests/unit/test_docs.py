"""The README and the documentation: every block of code runs, links and references lead somewhere."""

import doctest
import importlib
import inspect
import re
import runpy
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sterling.claims import catalogue, experiments
from sterling.claims.context import Context
from sterling.claims.finding import Judgement
from sterling.cli.verbs import app
from sterling.learn import StraightThroughClassifier
from sterling.study import Study
from tests.support import ROOT

DOCS = ROOT / "docs"
#: Files that the build of the site generates.
GENERATED = {"_generated", "_build", "generated"}
PAGES = [ROOT / "README.md", *(p for p in sorted(DOCS.rglob("*.md")) if not GENERATED & set(p.parts))]
#: Commands that take long or need more than a test has: only their options are checked.
PARSED = (
    *("reproduce", "study", "explore", "doctor", "audit", "flips", "verify", "predict", "score"),
    "plan --n 16",
)

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
def test_the_code_of_a_page_runs(page, desk, monkeypatch):
    """The blocks of a page run in order; those with prompts print what the page shows."""
    if page.stem == "classifier":  # it says only that most labels are right
        for name, value in (("max_iter", 200), ("n_bootstraps", 5)):
            monkeypatch.setitem(StraightThroughClassifier.__init__.__kwdefaults__, name, value)
    namespace: dict = {"__name__": "page"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for block in blocks(page, "python", "pycon"):
        if ">>> " not in block:
            exec(compile(block, str(page), "exec", dont_inherit=True), namespace)
            continue
        test = doctest.DocTestParser().get_doctest(block, namespace, page.name, str(page), 0)
        test.globs = namespace  # names go on from block to block
        failures: list[str] = []
        runner.run(test, out=failures.append, clear_globs=False)
        assert not failures, "".join(failures)


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
def test_a_command_of_a_page_is_valid(page, line, desk, monkeypatch):
    """Other tests draw pictures and pages, and run for as many steps."""
    monkeypatch.setattr("sterling.plot.run.figure", lambda orbit: None)
    monkeypatch.setattr("sterling.plot.style.save_figure", lambda figure, path: path.touch())
    monkeypatch.setattr("sterling.report.run_page.run_page", lambda *_: "")
    words = line.split()
    if line.startswith(PARSED):
        words.append("--help")  # comes after the options are read: wrong ones are refused all the same
    elif line.startswith("train"):
        words += ["--steps", "1000"]  # of an option given twice the last one counts
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output


def test_a_study_of_a_page_is_valid(desk):
    for page in PAGES:
        for block in blocks(page, "toml"):
            if "[problem]" in block:
                (desk / "study.toml").write_text(block, encoding="utf-8")
                study = Study.from_toml(desk / "study.toml")
                assert study.cells or study.series, page
            else:
                tomllib.loads(block)


def test_the_claim_of_the_page_is_found_and_measured(tmp_path, monkeypatch):
    """A claim is one file: placed beside the others, it is in the catalogue and gives a finding."""
    page = DOCS / "extending.md"
    code = next(block for block in blocks(page, "python") if "CLAIM = Claim(" in block)
    (tmp_path / "ample_of_the_page.py").write_text(code)
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    claim = catalogue.find()["ample"]
    finding = claim.measure(Context(tmp_path / "rows"), claim.budgets["quick"])
    assert finding.judgement is Judgement.CONSISTENT
    assert "one half" in finding.rule


def test_links_inside_the_repository_lead_somewhere():
    found = [(page, *link) for page in PAGES for link in _LINK.findall(page.read_text(encoding="utf-8"))]
    for page, target, anchor in found:
        if "://" in target or target.startswith("_generated/") or "/_generated/" in target:
            continue  # the build generates these, and Sphinx warns of missing ones
        path = page.parent / target if target else page
        assert path.exists(), (page, target)
        if anchor and path.suffix == ".md" and not anchor.startswith("sterling."):
            assert anchor in anchors(path), (page, target, anchor)


def test_the_moving_picture_is_what_its_program_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["moving.py", str(tmp_path)])
    runpy.run_path(str(DOCS / "images" / "moving.py"), run_name="__main__")
    for drawn in tmp_path.iterdir():
        assert drawn.read_bytes() == (DOCS / "images" / drawn.name).read_bytes()


def test_programs_and_claims_that_a_page_names_exist():
    """Benchmarks can be imported; tests and examples exist, and the claims of `sterling reproduce --only`."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "Makefile"])
    for name in set(re.findall(r"-m (benchmarks(?:\.\w+)*)", text)):
        importlib.import_module(f"{name}.__main__" if ROOT.joinpath(*name.split(".")).is_dir() else name)
    for name in re.findall(r"`((?:tests|examples|benchmarks|docs)/[\w/.-]+)`", text):
        assert (ROOT / name).exists(), name
    claims = {key for keys in re.findall(r"--only ([\w,]+)", text) for key in keys.split(",")}
    assert claims <= set(catalogue.find())


PACKAGES = ("sterling", *(f"sterling.{room}" for room in ("theory", "study", "plot", "learn", "torch")))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_a_page_with_an_example(package):
    """The build makes a page of each name that the reference lists; data and errors are in its text."""
    module = importlib.import_module(package)
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    for name in module.__all__:
        thing = getattr(module, name)
        if not callable(thing):
            entry = rf"`(\w+\.)?{name}`|^\.\. data:: {name}$"
            assert inspect.ismodule(thing) or re.search(entry, text, re.MULTILINE), name
            continue
        assert re.search(rf"^   {name}$", text, re.MULTILINE), name
        if not (inspect.isclass(thing) and issubclass(thing, BaseException)):
            assert ">>> " in (inspect.getdoc(thing) or ""), name


def test_every_mean_field_law_has_a_conjecture():
    from sterling import theory

    text = (DOCS / "science" / "conjectures.md").read_text(encoding="utf-8")
    laws = {name for name, one in theory.FUNCTIONS.items() if one.kind == "mean-field"}
    assert laws == set(re.findall(r"`theory\.(\w+)`", text))


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    assert len(re.findall(r"\d+(?:[.,]\d+)*", text)) <= 60
