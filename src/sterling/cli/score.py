"""`sterling score`: a classifier of 1-bit or ternary weights for a CSV file, beside simple rivals."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sterling.base.files import printable, write_atomically
from sterling.base.text import counted, in_words, percent
from sterling.cli import options
from sterling.cli.options import PAGES, check_targets, option, output
from sterling.cli.render import command_of, console, need, note, print_json
from sterling.errors import InputError, SterlingWarning

if TYPE_CHECKING:
    import polars as pl

    from sterling.cli.rivals import Score
    from sterling.cli.table_model import TableModel
    from sterling.learn.card import Card

TITLES = "", "accuracy", "AUC"


def score(
    data: Annotated[Path, typer.Argument(metavar="DATA.csv", help="Data file.", show_default=False)],
    target: Annotated[
        str | None,
        option(None, "Column of the classes: its name or number. \\[label, y, or the last]", "COLUMN"),
    ] = None,
    levels: Annotated[
        int, typer.Option(help="Values of a weight: 2 are −1 and +1, 3 add 0.", min=2, max=3, metavar="COUNT")
    ] = 2,
    test: Annotated[float, option(None, "Share of the samples that is held out.", "SHARE")] = 0.25,
    seed: Annotated[int, option(None, "Random seed of the split and of the training.", "SEED")] = 0,
    out: Annotated[Path | None, output("Write the model in this file: .json.", "FILE", "-o", "--out")] = None,
    card: Annotated[
        Path | None,
        output("Write a page with the comparison, a card of points and the weights: .html.", "FILE"),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a classifier with 1-bit or ternary weights on a CSV file, and score it on held-out samples.

    Classes are texts or whole numbers. A text column becomes an input 0 or 1 for each of its texts.
    -o writes the model that was scored, which has not seen the held-out samples. Then
    `sterling predict MODEL NEW.csv` predicts new rows. --card writes a page with a card of points.
    """
    need("learn", "sklearn", "score")
    check_targets(data, (out, "--out", ".json"), (card, "--card", *PAGES))
    import numpy as np
    from rich import box
    from rich.table import Table

    from sterling.base.checks import real
    from sterling.cli.rivals import compare
    from sterling.cli.samples import about, about_sizes, columns_of, encode, labels_of, read
    from sterling.cli.table_model import TableModel, filled
    from sterling.learn import StraightThroughClassifier

    real(test, "--test", above=0, below=1)
    with about(data):
        frame = read(data)
        name, labels = labels_of(frame, target)
        frame, known = frame.filter(labels.is_not_null()), labels.drop_nulls()
        columns, notes = columns_of(frame, name)
        values, gaps = encode(frame, columns)
        kept, held = _split(known, test, seed)
        count = np.maximum(np.isfinite(values[kept]).sum(axis=0), 1)
        means = np.nansum(values[kept], axis=0) / count
        inputs, classes = filled(values, columns, means), np.array(known.to_list())
    if labels.null_count():
        notes.append(f"sterling leaves out rows without a label: {labels.null_count():,}")
    notes += gaps + about_sizes(known, inputs.width, len(kept))
    for text in notes:
        warnings.warn(text, SterlingWarning, stacklevel=1)
    if not quiet:
        note(f"training on {counted(len(kept), 'sample')} with {counted(inputs.width, 'input')} …")
    classifier = StraightThroughClassifier(levels, random_state=seed).fit(inputs[kept], classes[kept])
    model = TableModel(classifier, name, columns, means)
    points = classifier.card() if card is not None and len(classifier.classes_) == 2 else None
    scores = compare(classifier, points, (inputs[kept], classes[kept]), (inputs[held], classes[held]))
    first, second = _answer(scores)
    facts = (
        f"{printable(data.name)} · classes in {name!r} · {counted(inputs.width, 'input')} · "
        f"{len(kept):,} samples to train, {len(held):,} held out"
    )
    try:
        if json:
            print_json(
                {
                    "target": name,
                    "classes": classifier.classes_.tolist(),
                    "inputs": inputs.columns,
                    "training": len(kept),
                    "held_out": len(held),
                    "scores": [one.to_dict() for one in scores],
                    "notes": notes,
                }
            )
        else:
            typer.echo(f"{first}\n{facts}")
            table = Table(*TITLES, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
            for one in scores:
                table.add_row(*one.cells)
            console().print(table)
            typer.echo(f"{second}\nIn brackets are 95 % intervals.")
    finally:  # a full stdout must not cost the files
        if out is not None:
            model.save(out)
        if card is not None:
            write_atomically(card, _page(model, points, scores, (first, second, facts), notes).encode())
    for what, path in ("model", out), ("page", card):
        if path is not None and not quiet:
            note(f"{what} written: {printable(path)}")


def _split(labels: "pl.Series", test: float, seed: int) -> Any:
    """Return the rows to train and those held out, with every class in both."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    classes = labels.n_unique()
    with suppress(ValueError):  # too few samples of a class
        kept, held = train_test_split(
            np.arange(len(labels)), test_size=test, stratify=labels.to_list(), random_state=seed
        )
        if labels[kept].n_unique() == classes == labels[held].n_unique():
            return kept, held
    rarest, fewest = labels.value_counts(sort=True).row(-1)
    raise InputError(
        f"a share of {test:g} does not put each of {classes} classes into both parts: give another --test, "
        f"or more samples of the class {rarest!r}, which has {fewest}"
    )


def _answer(scores: "list[Score]") -> tuple[str, str]:
    """Return what the scores say: first the scores, then where sterling and logistic regression differ."""
    import numpy as np

    ours, full, coarse, *_ = scores
    right = [f"{int(one.right.sum()):,}" for one in scores]
    alone, missed = int((ours.right & ~full.right).sum()), int((full.right & ~ours.right).sum())
    same = np.array_equal(ours.weights, coarse.weights)
    return (
        f"sterling predicts {right[0]} of {len(ours.right):,} held-out samples right, logistic regression "
        f"{right[1]}, the majority class {right[3]}.\nThe AUC is {ours.auc[0]:.3f} for sterling and "
        f"{full.auc[0]:.3f} for logistic regression.",
        f"sterling alone is right on {counted(alone, 'sample')}, logistic regression alone on {missed:,}.\n"
        + same * f"The row “{coarse.name}” has the same weights as sterling.\n"
        + "AUC is the chance that a sample of a class gets a higher score for it than a sample of another "
        "class; guessing gives 0.5.",
    )


def _page(
    model: "TableModel",
    points: "Card | None",
    scores: "list[Score]",
    words: tuple[str, str, str],
    notes: list[str],
) -> str:
    """Return the page: the answer, the comparison, the card, and the weights of each row of the model."""
    import numpy as np
    from markupsafe import Markup

    from sterling.report.html import page

    classifier, ours = model.classifier, scores[0]
    names = np.array([name for one in model.columns for name in one.inputs])
    labels = [in_words(label) for label in classifier.classes_.tolist()]
    effects = classifier.coef_ * np.sign(classifier.scale_)[:, None]
    heads = zip(np.abs(classifier.scale_).tolist(), classifier.intercept_.tolist(), strict=True)
    rows = [
        (label, [names[effect == sign].tolist() for sign in (1, -1, 0)], *head)
        for label, effect, head in zip(labels[len(labels) == 2 :], effects, heads, strict=True)
    ]
    return page(
        "score.html",
        headline=f"{percent(ours.accuracy[0], 1)} of the held-out samples right, AUC {ours.auc[0]:.3f}",
        target=model.target,
        words=words,
        titles=TITLES,
        scores=scores,
        notes=notes,
        rows=rows,
        card=None if points is None else Markup(points.html()),
        command=command_of("score"),
    )
