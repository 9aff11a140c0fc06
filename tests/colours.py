"""Contrast and distance of colours, and what the style sheet makes of them on dark pages."""

import re
from importlib.resources import files

import numpy as np

STYLE = (files("sterling.report") / "templates" / "style.css").read_text("utf-8")

#: ``hue-rotate(180deg)``, as in the standard (Filter Effects Module Level 1): cosine −1, sine 0.
_WEIGHTS = np.array([0.213, 0.715, 0.072])
_TURN = 2 * np.tile(_WEIGHTS, (3, 1)) - np.eye(3)


#: What is seen of linear light without one kind of cones (Machado, Oliveira and Fernandes 2009, severity 1).
SIGHTS = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def from_hex(colour):
    """Return red, green and blue between 0 and 1."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def to_hex(colour):
    """Return a colour as #rrggbb."""
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in colour)


def linear(colour):
    """Return the light of a colour written as #rrggbb, by channel."""
    values = from_hex(colour)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Return the contrast ratio of two colours written as #rrggbb, from 1 to 21 (WCAG 2.2)."""
    light = [float(linear(colour) @ _XYZ[1]) for colour in (one, other)]
    return (max(light) + 0.05) / (min(light) + 0.05)


def distance(one, other, sight="full"):
    """Return how far two colours lie apart in CIELAB (ΔE of 1976) for a reader of this sight."""
    places = []
    for colour in (one, other):
        xyz = _XYZ @ np.clip(SIGHTS[sight] @ linear(colour), 0, 1) / [0.9505, 1, 1.089]
        x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        places.append(np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)]))
    return float(np.linalg.norm(places[0] - places[1]))


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
