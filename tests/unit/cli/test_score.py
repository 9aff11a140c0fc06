"""`sterling score` and `sterling predict`: what they print and write, what they warn of, what they refuse."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from sterling.cli.rivals import area
from sterling.learn import StraightThroughClassifier
from tests.support import call, refused


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder to work in; training is tested elsewhere, so it is short."""
    monkeypatch.setitem(StraightThroughClassifier.__init__.__kwdefaults__, "max_iter", 100)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, columns):
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def table(rows=120, labels=("no", "yes"), **further):
    """Write two columns that tell the labels, further columns, and the labels."""
    first, second, noise = np.random.default_rng(0).normal(size=(3, rows)).round(3)
    values, ends = first - second + noise / 3, np.arange(1, len(labels)) / len(labels)
    answer = np.array(labels)[np.searchsorted(np.quantile(values, ends), values)]
    write("own.csv", {"first": first, "second": second, **further, "answer": answer})
    return answer


def scored(*arguments):
    result = call("score", *arguments, "--json", "--quiet")
    return json.loads(result.stdout), result.stderr


@pytest.mark.parametrize(
    "labels, levels", [((-1, 1), 2), ((3, 7), 3), (("false", "true"), 2), (("a,b", 'c"d', "<i>"), 3)]
)
def test_labels_come_back_as_they_were(labels, levels):
    answer = table(labels=labels)
    found, _ = scored("own.csv", "--levels", levels, "-o", "m.json")
    assert found["classes"] == sorted(labels)
    assert (found["training"], found["held_out"]) == (90, 30)
    assert found["inputs"] == ["first", "second"]
    call("predict", "m.json", "own.csv", "-o", "out.csv")
    with open("out.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    given = [row["prediction"] for row in rows]
    assert np.mean([one == str(other) for one, other in zip(given, answer, strict=True)]) > (
        0.85 if len(labels) == 2 else 0.6
    )
    shares = [row["probability_of_prediction"] for row in rows]
    assert all(1 / len(labels) - 1e-4 <= float(share) < 1 and len(share) <= 6 for share in shares)


def test_the_model_is_the_one_that_was_scored_and_held_out_samples_are_not_trained_on():
    """Its accuracy on the held-out rows, found again from the file, is the accuracy that was printed."""
    answer = table(rows=200)
    found, _ = scored("own.csv", "-o", "m.json", "--test", "0.4", "--seed", "5")
    model = StraightThroughClassifier.load("m.json")
    frame = pl.read_csv("own.csv")
    kept, held = train_test_split(np.arange(200), test_size=0.4, stratify=answer.tolist(), random_state=5)
    inputs = frame.select("first", "second")
    right = (model.predict(inputs[held]) == answer[held]).mean()
    ours, full, signs, majority = found["scores"]
    assert ours["accuracy"][0] == pytest.approx(right)
    assert ours["auc"][0] == pytest.approx(
        roc_auc_score(answer[held] == "yes", model.decision_function(inputs[held]))
    )
    again = StraightThroughClassifier(2, random_state=5).fit(inputs[kept], answer[kept])
    np.testing.assert_array_equal(again.coef_, model.coef_)
    names, counts = np.unique(answer[kept], return_counts=True)
    assert majority["accuracy"][0] == pytest.approx((answer[held] == names[counts.argmax()]).mean())
    assert min(full["accuracy"][0], signs["accuracy"][0]) > 0.8


def test_the_card_is_scored_as_its_points_say():
    """On the held-out rows, beside the others, and only where a page shows it."""
    answer = table(rows=200)
    found, _ = scored("own.csv", "--card", "card.html")
    kept, held = train_test_split(np.arange(200), test_size=0.25, stratify=answer.tolist(), random_state=0)
    inputs = pl.read_csv("own.csv").select("first", "second")
    card = StraightThroughClassifier(2, random_state=0).fit(inputs[kept], answer[kept]).card()
    *_, points = found["scores"]
    assert points["name"] == "card of points, 2 columns"
    assert points["accuracy"][0] == pytest.approx((card.predict(inputs[held]) == answer[held]).mean())
    assert card.html() in Path("card.html").read_text("utf-8")
    assert len(scored("own.csv")[0]["scores"]) == 4
    table(labels=("a", "b", "c"))
    assert len(scored("own.csv", "--card", "card.html")[0]["scores"]) == 4
    assert "add up by hand" not in Path("card.html").read_text("utf-8")


def test_the_page_is_one_file_without_a_script_and_escapes_names():
    rough = np.random.default_rng(1).normal(size=120)
    table(labels=("<i>", "</p>"), **{"<script>alert(1)</script>": rough})
    call("score", "own.csv", "--card", "card.html")
    page = Path("card.html").read_text("utf-8")
    assert "<script" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "http" not in page.replace("http-equiv", "")


def test_texts_become_inputs_and_new_or_missing_ones_count_as_the_mean():
    rows = np.arange(120)
    table(sex=np.where(rows % 3, "m", "f"), city=np.array(["Köln", "Ulm", "Linz", ""])[rows % 4])
    found, warned = scored("own.csv", "-o", "m.json")
    assert found["inputs"] == ["first", "second", "sex=m", "city=Köln", "city=Linz", "city=Ulm"]
    assert "missing" in warned
    assert "'city'" in warned
    write(
        "new.csv",
        {"city": ["Bonn", "Ulm"], "sex": ["f", ""], "second": [0, "?"], "first": [1, 2], "x": [0, 0]},
    )
    result = call("predict", "m.json", "new.csv")
    assert len(list(csv.DictReader(io.StringIO(result.stdout)))) == 2
    assert "'Bonn' in 'city'" in result.stderr
    assert "'second', 'sex'" in result.stderr


def test_missing_numbers_are_filled_with_the_mean_of_the_training_part_only():
    gaps = np.where(np.arange(120) % 5, np.random.default_rng(2).normal(5, 1, 120).round(2).astype(str), "NA")
    table(gaps=gaps)
    scored("own.csv", "-o", "m.json")
    saved = json.loads(Path("m.json").read_text())
    frame = pl.read_csv("own.csv", null_values="NA")
    kept, _ = train_test_split(np.arange(120), test_size=0.25, stratify=frame["answer"], random_state=0)
    assert saved["table"]["means"][2] == pytest.approx(frame[kept]["gaps"].mean())


@pytest.mark.parametrize(
    "columns, cause",
    [
        ({"customerID": np.random.default_rng(0).permutation(120) * 7}, "identifiers: 'customerID'"),
        ({"n": np.arange(120) + 1000}, "identifiers: 'n'"),
        ({"name": [f"Mr {k}" for k in range(120)]}, "identifiers: 'name'"),
        ({"large": [f"{k + 0.5}e150" for k in range(120)]}, "'large'"),
        ({"c": [""] * 120}, "single value: 'c'"),
        ({"a": np.arange(120) % 7 / 3, "b": np.arange(120) % 7 / 3}, "copies of columns: 'b' (of 'a')"),
        ({"odd": [f"{k % 40}" if k else "many" for k in range(120)]}, "more than 32 texts: 'odd'"),
    ],
)
def test_columns_that_say_nothing_are_left_out_with_a_sentence(columns, cause):
    table(**columns)
    found, warned = scored("own.csv")
    assert cause in warned
    assert len(warned.splitlines()) == 1
    assert found["inputs"] == ["first", "second", *(name for name in columns if name == "a")]
    assert [f"warning: {note}" for note in found["notes"]] == warned.splitlines()


def test_a_column_that_gives_the_label_away_is_named():
    answer, income = table(), np.random.default_rng(0).permutation(120) * 13  # as measurements may differ
    write("leak.csv", {"income": income, "paid": (answer == "yes") * 1, "answer": answer})
    found, warned = scored("leak.csv")
    assert "'paid'" in warned
    assert "income" in found["inputs"]


def test_what_the_samples_cannot_carry_is_said():
    generator = np.random.default_rng(0)
    wide = {f"x{k}": generator.normal(size=24) for k in range(40)}
    write("wide.csv", {**wide, "label": np.arange(24) % 2})
    assert "more than the 18 training samples" in scored("wide.csv")[1]
    write("rare.csv", {"x": generator.normal(size=200), "label": (np.arange(200) < 8) * 1})
    assert "4.0 % of the samples" in scored("rare.csv")[1].replace("\N{NO-BREAK SPACE}", " ")
    table(labels=("a", "b", "c"))
    found, warned = scored("own.csv")
    assert "3 classes" in warned
    assert found["scores"][0]["auc"][1] is None
    table(labels=("yes", "no"))
    text = Path("own.csv").read_text().replace(",no\n", ",\n", 3)
    Path("gaps.csv").write_text(text)
    assert "without a label: 3" in scored("gaps.csv")[1]


@pytest.mark.parametrize(
    "columns, options, cause",
    [
        ({"a": [1, 2, 3, 4], "y": [0.5, 1.5, 2, 3]}, [], "fractions"),
        ({"a": np.arange(300) / 7, "y": np.arange(300)}, [], "300 different"),
        ({"a": [1, 2, 2, 4], "y": [0, 0, 1, 1]}, ["--test", "0.01"], "a share of 0.01"),
        ({"a": [1, 2, 2, 4], "y": [0, 0, 1, 1]}, ["--test", "1"], "--test is 1.0"),
        ({name: [0, 1] for name in "zabcd"}, ["--target", "nosuch"], "it has 'd', 'z', 'a'"),
        ({"a": [1, 2, 3, 4], "y": [0, 0, 1, 1], "label": [0, 1, 0, 1]}, [], "give --target"),
        ({"a": [1, 2, 2, 4], "y": [0, 0, 1, 1]}, ["-o", "m.txt"], ".json"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(columns, options, cause):
    write("own.csv", columns)
    line = refused("score", "own.csv", *options)
    assert cause in line


def test_files_that_are_no_tables_are_refused(tmp_path):
    for name, content, cause in (
        ("own.xlsx", b"PK", "no .csv"),
        ("folder", None, "folder"),
        ("numbers.csv", b"1,2\n3,4\n", "column names"),
        ("twins.csv", b"a,a,y\n1,2,0\n1,3,1\n", "two columns"),
        ("ragged.csv", b"a,y\n1,0\n1,2,3\n", "more fields"),
        ("clash.csv", b"a,a=x,y\n" + b"x,2,0\ny,3,1\nz,4,0\n" * 4, "two columns named 'a=x'"),
        ("commas.csv", b"a;y\n" + b"".join(b"1,%d;%d\n" % (k, k % 2) for k in range(40)), "identifiers: 'a'"),
        ("one.csv", b"y\n1\n0\n1\n0\n", "no column is left"),
    ):
        path = tmp_path / name
        path.mkdir() if content is None else path.write_bytes(content)
        assert cause in refused("score", path)
    assert "no file" in refused("score", "missing.csv")


@pytest.fixture
def model():
    table()
    call("score", "own.csv", "-o", "m.json", "-q")
    with open("m.json") as file:
        return json.load(file)


@pytest.mark.parametrize(
    "entries",
    [
        {"columns": [["first", None], ["third", None]]},
        {"columns": [[1, None], [2, None]]},
        {"columns": [["first", 3], ["second", None]]},
        {"target": 3},
        {"means": [1e999, 0]},
    ],
)
def test_models_that_were_tampered_with_are_refused(model, entries):
    Path("bad.json").write_text(json.dumps(model | {"table": model["table"] | entries}))
    assert "bad.json" in refused("predict", "bad.json", "own.csv")


def test_other_files_are_no_models(model):
    del model["table"]
    Path("bad.json").write_text(json.dumps(model))
    assert "bad.json" in refused("predict", "bad.json", "own.csv")
    assert "missing.json" in refused("predict", "missing.json", "own.csv")
    line = refused("predict", "own.csv", "own.csv")
    assert "own.csv is not a model that `sterling score DATA.csv -o MODEL.json` wrote: it is not JSON" in line


def test_columns_are_checked_by_name(model):
    write("new.csv", {"First": [1, 2], "second": [1, 2]})
    assert "lacks 1 of the 2 columns that the model needs, 'first': did you mean 'First'" in refused(
        "predict", "m.json", "new.csv"
    )
    write("new.csv", {"seconds": [1, 2]})
    assert "lacks 2 of the 2" in refused("predict", "m.json", "new.csv")
    write("new.csv", {"first": [1, "many"], "second": [1, 2]})
    assert "'many' in column 'first', row 2" in refused("predict", "m.json", "new.csv")
    assert "the data file too" in refused("predict", "m.json", "own.csv", "-o", "own.csv")
    assert ".csv" in refused("predict", "m.json", "own.csv", "-o", "out.json")


def test_the_interval_of_an_area_is_that_of_delong_by_its_definition():
    """Against the double loop over pairs, with ties; the area against scikit-learn's."""
    generator = np.random.default_rng(0)
    positive = generator.random(60) < 0.4
    scores = (generator.normal(size=60) + positive).round(1)
    pairs = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    value = pairs.mean()
    variance = (
        pairs.mean(axis=1).var(ddof=1) / positive.sum() + pairs.mean(axis=0).var(ddof=1) / (~positive).sum()
    )
    logit, width = np.log(value / (1 - value)), 1.96 * variance**0.5 / (value * (1 - value))
    expected = [value, *(1 / (1 + np.exp(-(logit + side * width))) for side in (-1, 1))]
    np.testing.assert_allclose(area(scores, positive), expected)
    assert area(scores, positive)[0] == pytest.approx(roc_auc_score(positive, scores))
    rising = np.arange(40.0)
    assert np.isnan(area(rising, rising > 19)[1:]).all()  # all right: no variance
    assert np.isnan(area(rising % 7, rising > 34)[1:]).all()  # five of a class
