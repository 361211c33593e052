"""What `wandb.log` takes besides numbers: Histogram and Image, and how each value becomes entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .. import metric
from ..errors import RecipeError
from ..metric import Entry
from . import pictures
from .values import number, refuse_given

MOST_BUCKETS = 512


class Histogram:
    """How values are distributed, for `wandb.log`.

    Args:
        sequence: the values, or
        np_histogram: (counts, edges) of numpy's histogram, one edge more than counts.
        num_bins: how many buckets of equal width to count a sequence in, 512 at most.

    Raises:
        RecipeError: neither or both were given, or they do not fit.
    """

    def __init__(
        self, sequence: Any = None, np_histogram: tuple[Any, Any] | None = None, num_bins: int = 64
    ) -> None:
        if (sequence is None) == (np_histogram is None):
            raise RecipeError("Histogram(): either a sequence or np_histogram=(counts, edges) is right")
        if not 0 < num_bins <= MOST_BUCKETS:
            raise RecipeError(f"Histogram(): num_bins={num_bins}: 1 to {MOST_BUCKETS} are right")
        self._sequence, self._counted, self._num_bins = sequence, np_histogram, num_bins

    def entry(self, tag: str, step: int | None, wall_time: float) -> metric.Histogram:
        """Make the entry."""
        if self._counted is None:
            return pictures.histogram(tag, self._sequence, self._num_bins, None, step, wall_time)
        counts, edges = (pictures.as_array(one).astype(float) for one in self._counted)
        if len(edges) != len(counts) + 1:
            raise RecipeError(f"{tag!r}: {len(counts)} counts take {len(counts) + 1} edges, not {len(edges)}")
        middles = (edges[1:] + edges[:-1]) / 2
        found = pictures.raw_histogram(tag, edges, counts, edges, step, wall_time)
        # The values themselves are not known: each counts as the middle of its bucket.
        return msgspec.structs.replace(
            found,
            count=float(counts.sum()),
            total=float((counts * middles).sum()),
            squares=float((counts * middles * middles).sum()),
        )


class Image:
    """A picture, for `wandb.log`.

    Args:
        data_or_path: an array (axes HW or HWC; CHW of a torch value), a PIL picture, a
            matplotlib figure, or the path of a PNG file.

    Raises:
        RecipeError: an argument has no effect here.
    """

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: Any = None,
        masks: Any = None,
        file_type: str | None = None,
    ) -> None:
        given = {"mode": mode, "grouping": grouping, "classes": classes, "boxes": boxes, "masks": masks}
        refuse_given("Image()", "a picture travels as its pixels, and a caption", **given)
        if file_type not in (None, "png"):
            raise RecipeError(f"Image(): file_type={file_type!r}: pictures are written as 'png'")
        self._data, self._caption = data_or_path, caption or ""

    def entry(self, tag: str, step: int | None, wall_time: float) -> metric.Image:
        """Make the entry."""
        data = self._data
        if isinstance(data, str | Path):
            found = pictures.png_image(tag, _read(tag, Path(data)), step, wall_time)
        elif hasattr(data, "savefig"):
            found = pictures.png_image(tag, pictures.figure_png(data), step, wall_time)
        else:
            array = pictures.as_array(data)
            axes = "HW" if array.ndim == 2 else "CHW" if hasattr(data, "detach") else "HWC"
            found = pictures.image(tag, array, axes, step, wall_time)
        return msgspec.structs.replace(found, caption=self._caption)


def _read(tag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{tag!r}: {path} cannot be read: {error.strerror}") from error


def entries_of(tag: str, value: Any, step: int | None, wall_time: float) -> Iterator[Entry]:
    """Give the entries of one value of `wandb.log`; raises RecipeError if it cannot travel."""
    if isinstance(value, Histogram | Image):
        yield value.entry(tag, step, wall_time)
    elif isinstance(value, str):
        yield metric.Text(tag, value, step, wall_time)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from entries_of(f"{tag}.{name}", inner, step, wall_time)
    elif isinstance(value, Sequence) and value and all(isinstance(one, Image) for one in value):
        for place, inner in enumerate(value):
            yield from entries_of(f"{tag}/{place}", inner, step, wall_time)
    elif hasattr(value, "savefig"):
        yield Image(value).entry(tag, step, wall_time)
    else:
        yield metric.Point(tag, number(f"log()[{tag!r}]", value), step, wall_time)
