"""The dark counterpart of a colour: lightness turned round, hue and most of the chroma kept.

Figures are drawn once, in ink on white. For readers of a dark page each colour is exchanged for its
counterpart, so that white becomes the surface of the page, ink becomes nearly white, and blue stays blue.
The turn is made in OKLab (Ottosson 2020), where equal lightness looks equally light.
"""

from __future__ import annotations

import numpy as np

#: OKLab lightness that white takes on a dark page; black becomes white.
DARKEST = 0.235

_LIFT = 0.75  # below 1: colours of middle lightness come out lighter than a straight line would make them

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_CONES, _FROM_LAB = np.linalg.inv(_TO_CONES), np.linalg.inv(_TO_LAB)
_FADES = np.linspace(1, 0, 9)  # shares of the chroma to try, until the colour can be shown


def darken(colours: np.ndarray) -> np.ndarray:
    """Return the dark counterparts of sRGB colours.

    Parameters
    ----------
    colours : (..., 3) array
        Red, green and blue between 0 and 1. The result has the same shape and range.
    """
    colours = np.asarray(colours, float)
    flat = colours.reshape(-1, 3)
    lab = np.cbrt(_linear(flat) @ _TO_CONES.T) @ _TO_LAB.T
    lab[:, 0] = DARKEST + (1 - DARKEST) * (1 - np.clip(lab[:, 0], 0, 1)) ** _LIFT
    best = np.zeros_like(flat)
    left = np.ones(len(flat), bool)
    for fade in _FADES:
        light = ((lab * [1, fade, fade]) @ _FROM_LAB.T) ** 3 @ _FROM_CONES.T
        fits = left & np.all((light > -1e-3) & (light < 1 + 1e-3), axis=1)
        best[fits] = light[fits]
        left &= ~fits
    return _encoded(np.clip(best, 0, 1)).reshape(colours.shape)


def dark_hex(colour: str) -> str:
    """Return the dark counterpart of a colour written as #rrggbb."""
    return to_hex(darken(from_hex(colour)))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours written as #rrggbb, from 1 to 21 (WCAG 2.2)."""
    first, second = (float(_linear(from_hex(colour)) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


def from_hex(colour: str) -> np.ndarray:
    """Return red, green and blue between 0 and 1."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def to_hex(colour: np.ndarray) -> str:
    """Return a colour as #rrggbb."""
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in colour)


def _linear(colour: np.ndarray) -> np.ndarray:
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def _encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
