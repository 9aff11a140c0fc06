"""A run as an animated GIF: its bits, and how many are wrong, picture by picture."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sterling.base.checks import integer
from sterling.base.files import as_path, printable, write_atomically
from sterling.dynamics.orbit import Orbit
from sterling.errors import InputError
from sterling.plot.run import errors_over_time
from sterling.plot.style import INK, PALE, VERMILLION

_SIZE, _DPI = (8.0, 3.4), 80  # inches, pixels an inch
_LETTERS = 10
_COLOURS = 64  # of a picture


def write(orbit: Orbit, path: str | os.PathLike, frames: int, rate: int) -> None:
    """Write the film; `Orbit.animate` says what it shows."""
    path = as_path(path)
    frames, rate = integer(frames, "frames", 2, 1000), integer(rate, "rate", 1, 50)
    if path.suffix.lower() != ".gif":
        raise InputError(f"the film is {printable(path)}; its name must end in .gif")
    if not orbit.recorded:
        raise InputError('the run did not record its flips: train with record=("flips",)')
    first, *others = _pictures(orbit, moments(orbit, frames))
    film = {"save_all": True, "append_images": others, "duration": 1000 // rate, "loop": 0}
    write_atomically(path, lambda stream: first.save(stream, "GIF", **film))


def moments(orbit: Orbit, frames: int) -> np.ndarray:
    """Return the steps of the pictures: the first ones at which something flips, then growing steps."""
    end = orbit.flips_complete_to
    flips = np.unique(np.concatenate([[0], orbit.flips["step"]]))
    first = flips[: max(1, frames // 2)]
    later = np.geomspace(first[-1] + 1, max(end, first[-1] + 1), frames - len(first))
    later[-1] = end
    return np.minimum(np.concatenate([first, np.rint(later).astype(np.int64)]), end)


def states(orbit: Orbit, steps: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the weights at rising steps, int8 (n,); each array is overwritten by the next."""
    weights, done = orbit.start_signs.copy(), 0
    for until in np.searchsorted(orbit.flips["step"], steps, side="right"):
        for flip in orbit.flips[done:until]:
            weights[flip["coordinate"]] = flip["sign"]
        done = until
        yield weights


def _pictures(orbit: Orbit, steps: np.ndarray) -> Iterator[Any]:
    """Yield the pictures: what stays is drawn once, and what moves on top of it."""
    from PIL import Image

    figure = Figure(_SIZE, dpi=_DPI, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    bits, errors = figure.subplots(1, 2, width_ratios=[1, 2])
    errors_over_time(errors, orbit)
    bits.set_title(" ", fontsize=_LETTERS)
    bits.set_axis_off()
    columns = math.ceil(math.sqrt(orbit.n))
    cells = np.ones((math.ceil(orbit.n / columns) * columns, 3))  # RGB
    shape = (-1, columns, 3)
    moving = [
        bits.imshow(cells.reshape(shape), animated=True),
        errors.axvline(0, color=INK, animated=True),
        bits.text(0, 1.06, "", transform=bits.transAxes, animated=True, fontsize=_LETTERS, color=INK),
    ]
    image, line, words = moving
    canvas.draw()
    ground = canvas.copy_from_bbox(figure.bbox)
    inks = np.array([to_rgb(PALE), to_rgb(INK), to_rgb(VERMILLION)])
    kind = "wrong" if orbit.reference_kind == "teacher" else "unlike the best"
    for step, weights in zip(steps.tolist(), states(orbit, steps), strict=True):
        wrong = weights != orbit.reference
        cells[: orbit.n] = inks[np.where(wrong, 2, weights > 0)]
        image.set_data(cells.reshape(shape))
        line.set_xdata([step] * 2)
        words.set_text(f"step {step:,}: {wrong.sum()} of {orbit.n} {kind}")
        canvas.restore_region(ground)
        for one in moving:
            one.axes.draw_artist(one)
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
        yield picture.quantize(_COLOURS, Image.Quantize.FASTOCTREE)
