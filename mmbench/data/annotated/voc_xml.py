"""Annotation files of PASCAL VOC: one XML file per image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from mmbench.errors import UserError, shown

EDGES = ("xmin", "ymin", "xmax", "ymax")
FLAGS = {"0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


@dataclass(frozen=True, slots=True)
class VocObject:
    """One object as its file states it.

    Attributes:
        name: of its class.
        edges: xmin, ymin, xmax, ymax.
        difficult: None where the file does not state it.
    """

    name: str
    edges: tuple[float, float, float, float]
    difficult: bool | None


@dataclass(frozen=True, slots=True)
class VocFile:
    """One file.

    Attributes:
        filename: of the image; empty if it is not stated.
        size: width and height in pixels; None if they are not stated, or are 0.
    """

    filename: str
    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


class BrokenAnnotation(UserError):  # noqa: N818 - it is a refusal like every UserError
    """A file that cannot be used; the message is the line and the reason, without the file's name."""


def read_voc_xml(path: Path) -> VocFile:
    """Return the content of a VOC annotation file.

    Raises:
        BrokenAnnotation: it is missing, is not XML, or has an object without a class or a box.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BrokenAnnotation(f"cannot be read ({error.strerror})") from None
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        reason = expat.ErrorString(error.code)
        raise BrokenAnnotation(f"line {error.position[0]}: not valid XML ({reason})") from None
    except (ValueError, LookupError) as error:  # an encoding that Python does not have
        raise BrokenAnnotation(f"line 1: not valid XML ({error})") from None
    if root.tag != "annotation":
        raise BrokenAnnotation(f"line 1: begins with <{root.tag}> instead of <annotation>")
    objects = []
    for number, thing in enumerate(root.findall("object")):
        try:
            objects.append(_object(thing))
        except ValueError as error:
            raise BrokenAnnotation(f"line {_line_of_object(content, number)}: {error}") from None
    return VocFile((root.findtext("filename") or "").strip(), _size(root), tuple(objects))


def _object(thing: ElementTree.Element) -> VocObject:
    name = " ".join((thing.findtext("name") or "").split())
    if not name:
        raise ValueError("an object without a <name>")
    box = thing.find("bndbox")
    if box is None:
        rotated = ", only a rotated box" if thing.find("robndbox") is not None else ""
        raise ValueError(f"an object '{name}' without a <bndbox>{rotated}")
    edges = []
    for edge in EDGES:
        text = (box.findtext(edge) or "").strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"<{edge}> of '{name}' is {shown(text)}, which is not a number")
        edges.append(value)
    stated = (thing.findtext("difficult") or "").strip().lower()
    return VocObject(name, (edges[0], edges[1], edges[2], edges[3]), FLAGS.get(stated))


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        width, height = (float(root.findtext(f"size/{side}") or "0") for side in ("width", "height"))
        size = round(width), round(height)
    except (ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None


def _line_of_object(content: bytes, number: int) -> int:
    """Return the line on which the object of that number begins."""
    lines: list[int] = []
    depth = 0
    parser = expat.ParserCreate()

    def start(tag: str, attributes: object) -> None:
        nonlocal depth
        if tag == "object" and depth == 1:
            lines.append(parser.CurrentLineNumber)
        depth += 1

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(content, True)
    return lines[number]
