"""Contrast of colours, and how the style sheet shows the colours of figures on dark pages."""

import re
from importlib.resources import files

import numpy as np

STYLE = (files("sterling.report") / "templates" / "style.css").read_text("utf-8")

#: ``hue-rotate(180deg)``, as in the standard (Filter Effects Module Level 1): cosine −1, sine 0.
_TURN = 2 * np.tile([0.213, 0.715, 0.072], (3, 1)) - np.eye(3)
_LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue light


def _values(colour):
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def to_hex(colour):
    """Return a colour as #rrggbb."""
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in colour)


def contrast(*colours):
    """Return the contrast ratio of two colours written as #rrggbb, from 1 to 21 (WCAG 2.2)."""
    values = np.array([_values(colour) for colour in colours])
    low, high = sorted(
        np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ _LUMINANCE
    )
    return (high + 0.05) / (low + 0.05)


def darkened(colour):
    """Return a colour of a figure as it is shown on a dark page."""
    amount = float(re.search(r"filter: invert\(([\d.]+)\) hue-rotate\(180deg\)", STYLE)[1])
    return to_hex(np.clip(_TURN @ (amount + (1 - 2 * amount) * _values(colour)), 0, 1))


def schemes():
    """Return the colours of the style sheet: of light and of dark pages."""
    found = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", STYLE)
    light, dark = ({name: pair[at] for name, *pair in found} for at in (0, 1))
    return {"light": light, "dark": dark}
