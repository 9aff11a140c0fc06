"""Figures, texts and the page of a reproduction, from invented findings."""

import html
import io
import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import polars as pl
import pytest
from rich.console import Console

from sterling.claims.finding import Measured, Reference
from sterling.claims.words import MARKS, amount, interval
from sterling.plot.curves import SERIES_COLOURS
from sterling.plot.study import SHADES
from sterling.plot.style import GREY, INK, VERDICT_COLOURS
from sterling.report.figures import render
from sterling.report.html import linked, raised
from sterling.report.page import Page
from sterling.report.terminal import table
from tests.colours import contrast, darkened, schemes
from tests.findings import HOSTILE, made_up

FACTS = ("quick", 2026, "sterling reproduce --quick")
VOID = {"meta", "link", "img", "br", "input", "hr"}
WAITING = [("P4", "Sample size decides"), ("P5", "Other inputs")]


class Reader(HTMLParser):
    """Collects the elements of a page, and fails on a tag that is not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def flat(text):
    """Return a text with single spaces, breaking or not."""
    return re.sub(r"\s+", " ", text)


def write(folder, findings, **more):
    folder.mkdir(exist_ok=True)
    page = Page(folder, *FACTS)
    for finding in findings:
        page.add(finding)
    return page.write(**more)


@pytest.fixture(scope="module")
def findings():
    return made_up()


@pytest.fixture(scope="module")
def folder(findings, tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    write(path, findings, missing=WAITING)
    return path


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "index.html").read_text("utf-8")


def test_the_page_is_well_formed_and_ids_are_unique(text):
    elements = Reader(text).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids


def test_nothing_is_loaded_from_elsewhere(text):
    reader = Reader(text)
    for tag, attributes in reader.elements:
        for name in ("src", "srcset", "data", "poster", "action"):
            assert name not in attributes, (tag, attributes)
        if tag in ("link", "image", "use"):
            assert attributes["href"].startswith(("data:", "#"))
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    policy = reader.all("meta")[2]["content"]
    assert "default-src 'none'" in policy
    assert "'unsafe-eval'" not in policy
    assert "script-src 'sha256-" in policy


def test_what_findings_say_is_text_between_landmarks(text):
    assert HOSTILE not in text
    reader = Reader(text)
    assert len(reader.all("script")) == 1
    assert reader.all("img") == []
    assert not any(name.startswith("on") for _, attributes in reader.elements for name in attributes)
    assert [len(reader.all(tag)) for tag in ("main", "footer", "h1")] == [1, 1, 1]
    assert len(reader.all("caption")) == len(reader.all("table"))
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_every_claim_shows_its_words_and_numbers(text, findings):
    sections = re.split(r'<section class="card claim"', text)[1:]
    for section, finding in zip(sections, findings, strict=True):
        shown = html.unescape(flat(re.sub("<[^>]*>", "", section)))
        assert str(finding.judgement) in shown
        if finding.title != HOSTILE:
            for one in (finding.statement, finding.experiment, finding.source, finding.rule, *finding.notes):
                assert one in shown
            for one in finding.measured:
                assert flat(amount(one)) in shown
                assert flat(interval(one)) in shown


def test_theory_stands_beside_a_number_only_where_both_are_the_same_quantity(text, findings):
    cells = re.findall(r'data-label="Theory"[^>]*>(.*?)</td>', text, re.DOTALL)
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(table(findings))
    lines = console.export_text()
    for one, cell in zip(findings[:4], cells[:4], strict=True):
        for reference in one.references:
            assert (str(raised(reference.name)) in cell) == (reference.name in lines) == reference.beside
        assert ("none for this number" in cell) == (not one.theory)


def test_the_header_counts_the_claims(findings, tmp_path):
    for claims, words in enumerate(("claims about", "the claim below. It is", "the claims below. Each is")):
        text = flat(write(tmp_path, findings[:claims], missing=WAITING).read_text("utf-8"))
        assert f") makes {words}" in text
        assert ("All numbers in one table" in text) == (claims > 0)
        assert f"{claims} of {claims + 2} claims {'is' if claims == 1 else 'are'} done" in text


def test_sections_of_the_science_are_links(text):
    assert linked("docs/science, 7 and 13").count("<a ") == 2
    visible = re.sub(r"<a .*?</a>|<script>.*</script>", "", text, flags=re.S)
    assert not re.search(r"docs/science, \d", visible)


def test_raw_rows_lie_beside_the_page(folder, text, findings):
    links = [one["href"] for one in Reader(text).all("a") if one["href"].endswith(".parquet")]
    assert len(links) == 4
    assert all((folder / link).resolve().is_relative_to(folder.resolve()) for link in links)
    assert pl.read_parquet(folder / links[0]).equals(findings[0].tables["cells"])


def test_numbers_as_json(folder):
    values = json.loads((folder / "findings.json").read_text("utf-8"))
    assert (values["effort"], values["seed"], values["missing"]) == ("quick", 2026, ["P4", "P5"])
    first, *_, occupancy, hostile = values["findings"]
    assert first["measured"][0]["value"] == 1.0432
    assert first["judgement"] == "far inside the bound"
    assert first["rule"].startswith("Far inside the bound where")
    assert first["tables"] == ["data/P1-cells.parquet", "data/P1-trials.parquet"]
    assert occupancy["measured"][0]["high"] is None
    assert hostile["measured"][0]["value"] is None


def test_a_figure_keeps_its_text_its_caption_is_its_name_and_two_share_no_names(findings):
    drawing, other = (render(findings[0].pictures[0], name) for name in ("a", "b"))
    (svg,) = Reader(str(drawing.svg)).all("svg")
    assert (svg["role"], svg["aria-label"]) == ("img", drawing.caption)
    assert "dimension n" in drawing.svg
    ids, others = (set(re.findall(r' id="([^"]+)"', str(one.svg))) for one in (drawing, other))
    assert len(ids) == len(others) > 1
    assert not ids & others


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_and_marks_stand_out_in_both_schemes(scheme):
    """WCAG 2.2 asks for 3 of what a picture needs to be understood, and for a mark of focus."""
    colours = schemes()[scheme]
    for back in ("page", "surface"):
        assert contrast(colours["focus"], colours[back]) >= 3
        for colour in {*SHADES, *SERIES_COLOURS, *VERDICT_COLOURS.values(), GREY, INK}:
            shown = darkened(colour) if scheme == "dark" else colour
            assert contrast(shown, colours[back]) >= 3, (colour, back)


@pytest.mark.parametrize(
    "value, low, high, beside, words",
    [
        (1.0432, 1.0121, 1.0748, (), ("1.043", "1.012 to 1.075")),
        (1.23e-7, 1.1e-7, 1.4e-7, (), ("1.23·10⁻⁷", "1.10·10⁻⁷ to 1.40·10⁻⁷")),
        (-0.0412, -0.052, -0.031, (), ("−0.041", "−0.052 to −0.031")),
        (2.9, 1.2, math.inf, (), ("2.9", "1.2 to ∞")),
        (0.93, 0.8652, 0.9963, (), ("0.930", "0.865 to 0.996")),  # two digits would print 1.00
        (0.97, 0.9004, 1.0, (), ("0.970", "0.900 to 1.000")),
        (0.52, 0.5002, 0.61, (), ("0.5200", "0.5002 to 0.6100")),
        (0.61, 0.5748, 0.70, (0.5745,), ("0.610", "0.575 to 0.700")),
        (0.61, 0.5748, 0.70, (), ("0.61", "0.57 to 0.70")),
        (0.01, 0.0004, 0.08, (), ("0.0100", "0.0004 to 0.0800")),
    ],
)
def test_an_interval_decides_the_digits_and_rounding_moves_no_value_into_it(value, low, high, beside, words):
    one = Measured("x", value, low, high)
    references = [Reference("r", number, "exact", "here") for number in beside]
    assert (amount(one, references), interval(one, references)) == words
    if set("·,∞") & set(words[1]):
        return
    printed = [float(end.replace("−", "-")) for end in interval(one, references).split(" to ")]
    for mark in (*MARKS, *beside):
        assert (low <= mark <= high) == (printed[0] <= mark <= printed[1])


def test_powers_are_raised_indices_lowered_and_all_else_escaped():
    assert raised("x^(<i>) & b*_k, 2^ and ^") == "x<sup>&lt;i&gt;</sup> &amp; b*<sub>k</sub>, 2^ and ^"
