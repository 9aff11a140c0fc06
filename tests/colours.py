"""Contrast of colours, and what the filter of the style sheet makes of them on dark pages."""

import re
from importlib.resources import files

import numpy as np

STYLE = (files("sterling.report") / "templates" / "style.css").read_text("utf-8")

#: ``hue-rotate(180deg)``, as in the standard (Filter Effects Module Level 1): cosine −1, sine 0.
_WEIGHTS = np.array([0.213, 0.715, 0.072])
_TURN = 2 * np.tile(_WEIGHTS, (3, 1)) - np.eye(3)


def from_hex(colour):
    """Return red, green and blue between 0 and 1."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def to_hex(colour):
    """Return a colour as #rrggbb."""
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in colour)


def contrast(one, other):
    """Return the contrast ratio of two colours written as #rrggbb, from 1 to 21 (WCAG 2.2)."""
    light = []
    for colour in map(from_hex, (one, other)):
        linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(light) + 0.05) / (min(light) + 0.05)


def darkened(colour):
    """Return a colour of a figure as it is shown on a dark page."""
    amount = float(re.search(r"filter: invert\(([\d.]+)\) hue-rotate\(180deg\)", STYLE)[1])
    turned = amount + (1 - 2 * amount) * from_hex(colour)
    return to_hex(np.clip(_TURN @ turned, 0, 1))


def schemes():
    """Return the colours of the style sheet: of light and of dark pages."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", STYLE, re.S)[:2]
    )
    assert light.keys() == dark.keys()
    return {"light": light, "dark": dark}
