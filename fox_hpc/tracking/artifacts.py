"""What a store that keeps only numbers is given as files: texts, pictures, histograms."""

from __future__ import annotations

import re

import msgspec

from ..metric import File, Histogram, Image, Text

_ODD = re.compile(r"[^A-Za-z0-9._ -]+")


def as_file(entry: File | Text | Image | Histogram, number: int) -> tuple[str, bytes]:
    """Give an entry as (path, bytes): `texts/TAG/STEP.txt`, likewise `images` and `histograms`.

    Args:
        number: takes the place of the step where there is none.
    """
    if isinstance(entry, File):
        return entry.path, entry.data
    name = f"{safe(entry.tag)}/{number if entry.step is None else entry.step}"
    if isinstance(entry, Text):
        return f"texts/{name}.txt", entry.text.encode()
    if isinstance(entry, Image):
        return f"images/{name}.png", entry.png
    return f"histograms/{name}.json", msgspec.json.encode({field: getattr(entry, field) for field in _FIELDS})


_FIELDS = ("low", "high", "count", "total", "squares", "limits", "counts", "step", "wall_time")


def safe(tag: str) -> str:
    """Give a tag as a relative path: of letters, digits, blanks, dots, dashes and underscores."""
    parts = [_ODD.sub("_", part) for part in tag.split("/")]
    kept = [part if part.strip(". ") else "_" for part in parts if part]
    return "/".join(kept) or "_"
