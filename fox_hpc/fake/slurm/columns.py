"""Tables: `%.18i` formats, `Name:20` formats, and rows cut to their widths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True)
class Field(Generic[Row]):
    """One column: its heading and its value."""

    heading: str
    value: Callable[[Row], str]


Piece = tuple[str, int, bool, str]
"""Letter, width (0 = as wide as it is), right-aligned, text after it."""


def pieces(text: str) -> tuple[str, list[Piece]]:
    """Text before the first letter, and the letters of a `%.18i %j|` format."""
    found = list(re.finditer(r"%(\.?)(\d*)([a-zA-Z]?)([^%]*)", text))
    head = text[: found[0].start()] if found else text
    return head, [(m[3], int(m[2] or 0), bool(m[1]), m[4]) for m in found]


def render(text: str, fields: Mapping[str, Field[Row]], rows: Iterable[Row], heading: bool = True) -> str:
    """The table of a letter format; letters that mean nothing leave nothing."""
    head, letters = pieces(text)

    def line(row: Row | None) -> str:
        cells = []
        for letter, width, right, after in letters:
            field = fields.get(letter)
            value = "" if field is None else field.heading if row is None else field.value(row)
            cells.append(_cell(value, width, right) + after)
        return head + "".join(cells) + "\n"

    return "".join([line(None)] * heading + [line(row) for row in rows])


def named(text: str) -> list[tuple[str, int]]:
    """Names and widths of a `JobID:20,State` format; without a width it is 20."""
    found = []
    for item in filter(None, text.split(",")):
        name, _, width = item.partition(":")
        digits = re.match(r"\d+", width.lstrip("."))
        found.append((name, int(digits[0]) if digits else 20))
    return found


def render_named(
    columns: Iterable[tuple[str, int]], fields: Mapping[str, Field[Row]], rows: Iterable[Row], heading: bool
) -> str:
    """The table of a name format: left-aligned, cut."""
    chosen = [(fields[name.lower()], width) for name, width in columns if name.lower() in fields]
    lines = ["".join(_cell(f.heading, width, False) for f, width in chosen)] if heading else []
    lines += ["".join(_cell(f.value(row), width, False) for f, width in chosen) for row in rows]
    return "".join(line + "\n" for line in lines)


def _cell(text: str, width: int, right: bool) -> str:
    if not width:
        return text
    return text[:width].rjust(width) if right else text[:width].ljust(width)
