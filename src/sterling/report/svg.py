"""Matplotlib's SVG made fit for a page: small, without clashes of names, at home in both colour schemes."""

from __future__ import annotations

import base64
import io
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np

from sterling.report.colours import dark_hex, darken

_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_LINK = re.compile(r"url\(#([^)]+)\)")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_DROPPED = ("metadata", "style")


def embed(source: str, prefix: str, label: str) -> str:
    """Return the drawing as an ``<svg>`` element for an HTML page.

    Parameters
    ----------
    source : str
        What Matplotlib wrote, with text as text.
    prefix : str
        Begins every id of the drawing; no other drawing of the page may have the same.
    label : str
        What the drawing shows, for readers who cannot see it.

    Each colour becomes a variable of the drawing, whose value follows the reader's colour scheme. Text takes
    the font of the page. Pictures inside the drawing get a second version for dark pages.
    """
    root = _plain(ElementTree.fromstring(source))
    _rename(root, prefix)
    colours: set[str] = {"#000000"}
    for element in root.iter():
        if element.tag == "text":
            _join_letters(element)
        _tidy(element, colours)
    _twin_images(root)
    width, height = root.get("viewBox", "0 0 1 1").split()[2:]
    root.attrib = {
        "viewBox": f"0 0 {width} {height}",
        "id": prefix,
        "role": "img",
        "aria-label": label,
        "style": "fill: var(--c000000)",
    }
    sheet = ElementTree.Element("style")
    sheet.text = _stylesheet(prefix, sorted(colours))
    root.insert(0, sheet)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _plain(root: ElementTree.Element) -> ElementTree.Element:
    """Strip name spaces, which HTML does not need, and what describes the file instead of the picture."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        element.text = (element.text or "") if element.tag in ("text", "tspan") else None
        element.tail = None
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _DROPPED:
                parent.remove(child)
    return root


def _rename(root: ElementTree.Element, prefix: str) -> None:
    """Keep the ids that something refers to, in short and under the prefix."""
    used: dict[str, str] = {}
    for element in root.iter():
        for name, value in element.attrib.items():
            targets = [value[1:]] if name == "href" and value.startswith("#") else _LINK.findall(value)
            for target in targets:
                used.setdefault(target, f"{prefix}-{len(used)}")
    for element in root.iter():
        here = element.attrib.pop("id", None)
        if here in used:
            element.set("id", used[here])
        for name, value in element.attrib.items():
            if name == "href" and value.startswith("#"):
                element.set(name, f"#{used[value[1:]]}")
            elif "url(#" in value:
                element.set(name, _LINK.sub(lambda found: f"url(#{used[found[1]]})", value))


def _join_letters(text: ElementTree.Element) -> None:
    """Let the letters of a formula follow each other in the page's font; Matplotlib placed them for its own.

    Letters that step back to the left, as below a fraction bar, keep their places.
    """
    spans = list(text)
    places = [float(span.get("x", "0")) for span in spans]
    if any(later <= earlier for earlier, later in pairwise(places)):
        return
    last = None
    for span in spans:
        if last is not None:
            del span.attrib["x"]
            if (span.get("y"), span.get("style")) == (last.get("y"), last.get("style")):
                last.text = (last.text or "") + (span.text or "")
                text.remove(span)
                continue
        last = span


def _tidy(element: ElementTree.Element, colours: set[str]) -> None:
    """Round coordinates, let the page choose the font, and make each colour a variable."""
    if "d" in element.attrib:
        element.set("d", _rounded(" ".join(element.attrib["d"].split())))
    for name in ("x", "y", "transform", "width", "height", "points"):
        if name in element.attrib:
            element.set(name, _rounded(element.attrib[name]))
    fill = element.attrib.pop("fill", None)
    parts = [part.strip() for part in element.get("style", "").split(";")]
    parts = [part for part in parts if part and not part.startswith("font-family")]
    if fill is not None:
        parts.insert(0, f"fill: {fill}")

    def variable(found: re.Match) -> str:
        colour = found[0].lower()
        colours.add(colour)
        return f"var(--c{colour[1:]})"

    if parts:
        element.set(
            "style", "; ".join(part if "url(" in part else _HEX.sub(variable, part) for part in parts)
        )


def _rounded(text: str) -> str:
    return _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), text)


def _twin_images(root: ElementTree.Element) -> None:
    """Put beside each picture its dark counterpart; the page's style shows one of them."""
    for parent in list(root.iter()):
        for place, child in reversed(list(enumerate(parent))):
            if child.tag != "image":
                continue
            light, dark = _both_schemes(base64.b64decode(child.attrib["href"].partition(",")[2]))
            twin = ElementTree.Element("image", {**child.attrib, "class": "when-dark", "href": dark})
            twin.attrib.pop("id", None)
            child.attrib.update({"class": "when-light", "href": light})
            parent.insert(place + 1, twin)


def _both_schemes(png: bytes) -> tuple[str, str]:
    """Return a picture of at most 256 colours, and the same with their dark counterparts, as addresses."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGBA").quantize(256, Image.Quantize.FASTOCTREE)
    palette = np.array(picture.getpalette("RGBA"), np.uint8).reshape(-1, 4)
    dark = palette.copy()
    dark[:, :3] = np.round(255 * darken(palette[:, :3] / 255))
    addresses = []
    for colours in (palette, dark):
        picture.putpalette(colours.tobytes(), "RGBA")
        stream = io.BytesIO()
        picture.save(stream, "PNG", optimize=True)
        addresses.append(f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}")
    return addresses[0], addresses[1]


def _stylesheet(prefix: str, colours: list[str]) -> str:
    def values(convert) -> str:
        return "".join(f"--c{colour[1:]}:{convert(colour)};" for colour in colours)

    light, dark = values(str), values(dark_hex)
    return f"#{prefix}{{{light}}}@media screen and (prefers-color-scheme:dark){{#{prefix}{{{dark}}}}}"
