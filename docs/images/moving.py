"""Draw the moving picture of the README, from a run: weights flip, the time average settles.

    python docs/images/moving.py docs/images

`moving.svg` moves by itself, three times over, and then stands still. `still.svg` is its last frame, for
readers who have asked their browser for less motion.
"""

import re
import sys
from pathlib import Path

import numpy as np

import sterling as st
from sterling.base.files import write_atomically
from sterling.plot.style import BLUE, GREY, INK, VERMILLION

N, SAMPLES, NOISE, STEPS = 32, 1600, 0.5, 100_000
FRAMES, SECONDS, TIMES = 80, 16, 3
WIDTH, HEIGHT = 720, 332
CELL, GAP = 26, 5
LEFT, TOP = 34, 64
RIGHT = 320
LINE_TOP, LINE_HEIGHT = 236, 66


def history(orbit):
    """Return the iterates at the frames' steps, and the time average up to each, both times the teacher."""
    at = np.unique(np.geomspace(1, orbit.steps - 1, FRAMES).round().astype(int))
    sizes = np.array([orbit.schedule.at(t) for t in range(orbit.steps)])
    signs, index, last = orbit.start_signs.astype(float), 0, 0
    total, states, means = np.zeros(orbit.n), [], []
    mass = np.concatenate([[0.0], np.cumsum(sizes)])
    flips = orbit.flips
    for step in at:
        while index < len(flips) and flips["step"][index] <= step:
            moved = int(flips["step"][index])
            total += (mass[moved] - mass[last]) * signs
            last = moved
            signs[flips["coordinate"][index]] = flips["sign"][index]
            index += 1
        total += (mass[step + 1] - mass[last]) * signs
        last = step + 1
        states.append(signs * orbit.reference)
        means.append(total / mass[step + 1] * orbit.reference)
    return at, np.array(states), np.array(means)


def moving(name, values, discrete=False):
    """Return an animation of an attribute through the frames."""
    mode = "discrete" if discrete else "linear"
    return (
        f'<animate attributeName="{name}" values="{";".join(values)}" dur="{SECONDS}s" calcMode="{mode}" '
        f'repeatCount="{TIMES}" fill="freeze"/>'
    )


def text(x, y, words, **more):
    look = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return f'<text x="{x}" y="{y}"{look}>{words}</text>'


def draw(orbit):
    """Return the picture as SVG."""
    at, states, means = history(orbit)
    wrong = (states < 0).sum(1)
    parts = [
        text(LEFT, 26, "right or wrong, now", font_weight="bold"),
        text(RIGHT, 26, "on average so far", font_weight="bold"),
        text(LEFT, 46, f"{orbit.n} binary weights, noisy labels", fill=GREY, font_size=12),
        text(RIGHT, 46, "above the line: the sign of the average is right", fill=GREY, font_size=12),
    ]
    for k in range(orbit.n):
        x, y = LEFT + (k % 8) * (CELL + GAP), TOP + (k // 8) * (CELL + GAP)
        colours = [BLUE if state > 0 else VERMILLION for state in states[:, k]]
        change = moving("fill", colours, discrete=True) if len(set(colours)) > 1 else ""
        box = f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="4" fill="{colours[-1]}">'
        parts.append(f"{box}{change}</rect>")
    middle, reach, pitch = TOP + 62, 60, (WIDTH - RIGHT - 20) / orbit.n
    parts.append(f'<line x1="{RIGHT}" x2="{WIDTH - 20}" y1="{middle}" y2="{middle}" stroke="{GREY}"/>')
    parts += [
        text(RIGHT - 8, middle - reach * value + 4, label, font_size=12, fill=GREY, text_anchor="end")
        for value, label in ((1, "1"), (0, "0"), (-1, "−1"))
    ]
    for k in range(orbit.n):
        x = RIGHT + (k + 0.5) * pitch
        places = [f"{middle - reach * mean:.0f}" for mean in means[:, k]]
        colours = [BLUE if mean >= 0 else VERMILLION for mean in means[:, k]]
        change = moving("stroke", colours, discrete=True) if len(set(colours)) > 1 else ""
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{middle}" y2="{places[-1]}" stroke="{colours[-1]}" '
            f'stroke-width="6">{moving("y2", places)}{change}</line>'
        )
    high = int(wrong.max())
    across = np.linspace(LEFT, WIDTH - 20, len(at))
    down = LINE_TOP + LINE_HEIGHT * (1 - wrong / high)
    points = " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(across, down, strict=True))
    reveal = moving("width", [f"{x - LEFT + 2:.0f}" for x in across])
    base = LINE_TOP + LINE_HEIGHT
    for y, label in ((LINE_TOP, high), (base, 0)):
        parts.append(text(LEFT - 8, y + 4, label, font_size=12, fill=GREY, text_anchor="end"))
    parts += [
        f'<line x1="{LEFT}" x2="{LEFT}" y1="{LINE_TOP}" y2="{base}" stroke="{GREY}"/>',
        text(LEFT, LINE_TOP - 14, "number of wrong weights now", font_size=12, fill=GREY),
        f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{base}" y2="{base}" stroke="{GREY}"/>',
        f'<clipPath id="so-far"><rect x="{LEFT - 1}" y="{LINE_TOP - 6}" width="{WIDTH}" '
        f'height="{LINE_HEIGHT + 9}">{reveal}</rect></clipPath>',
        f'<polyline points="{points}" fill="none" stroke="{VERMILLION}" stroke-width="2" '
        'clip-path="url(#so-far)"/>',
        text(LEFT, base + 18, "step 1 (log scale)", font_size=12, fill=GREY),
        text(WIDTH - 20, base + 18, f"{orbit.steps:,}", font_size=12, fill=GREY, text_anchor="end"),
    ]
    about = (
        f"A run of {orbit.steps:,} steps with label noise. The last iterate reaches the teacher, leaves "
        f"it and comes back, {orbit.visits:,} times; at the end the time average is wrong in "
        f"{orbit.ergodic_errors} of {orbit.n} weights."
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="15" fill="{INK}" role="img">'
        f"<title>{about}</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    run = st.train(st.Problem(n=N, samples=SAMPLES, noise=NOISE).draw(seed=0), steps=STEPS)
    picture = draw(run)
    for name, drawn in (("moving.svg", picture), ("still.svg", re.sub("<animate [^>]*>", "", picture))):
        write_atomically(Path(sys.argv[1], name), lambda stream, drawn=drawn: stream.write(drawn.encode()))
    print(run)
