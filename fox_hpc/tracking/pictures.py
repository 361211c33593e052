"""Arrays as entries: PNG files of pictures and figures, histograms. It needs numpy, at the first use only.

Sources: PNG is W3C's Portable Network Graphics, third edition; a bucket reaches from the limit before it
(exclusive, for the first one `low`) to its own, as in TensorBoard's HistogramProto.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from ..errors import RecipeError
from ..metric import Histogram, Image

#: Channels of a picture → PNG's colour type (W3C PNG §11.2.1).
_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
_CHANNELS = {colour: channels for channels, colour in _COLOURS.items()} | {3: 3}
_PNG = b"\x89PNG\r\n\x1a\n"


def as_array(value: Any) -> Any:
    """Give a numpy array of anything like one: torch values of any device and type, PIL's pictures, lists."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


def image(
    tag: str, value: Any, dataformats: str, step: int | None, wall_time: float, *, many: bool = False
) -> Image:
    """Make a picture of an array.

    Args:
        dataformats: what the axes are, of N, H, W and C; several pictures are laid out in rows of eight.
        many: N has to be among them.

    Raises:
        RecipeError: the axes do not fit the array, or it is no picture.
    """
    pixels = _axes(tag, as_array(value), dataformats.upper(), many)
    pixels = _bytes_of(tag, _one_picture(pixels))
    height, width, channels = pixels.shape
    if channels not in _COLOURS or not height or not width:
        raise RecipeError(
            f"{tag!r}: a picture has 1 to 4 channels and some pixels, this one is {pixels.shape}"
        )
    return Image(tag, _encode(pixels), width, height, channels, step, wall_time)


def png_image(tag: str, png: bytes, step: int | None, wall_time: float) -> Image:
    """Take a PNG file as it is; raises RecipeError if it is none."""
    if png[:8] != _PNG or len(png) < 26 or png[25] not in _CHANNELS:
        raise RecipeError(f"{tag!r}: these bytes are no PNG picture")
    width, height = struct.unpack(">II", png[16:24])
    return Image(tag, png, width, height, _CHANNELS[png[25]], step, wall_time)


def figure_png(figure: Any, **options: Any) -> bytes:
    """Draw a matplotlib figure as a PNG file; raises RecipeError if it is none."""
    if not hasattr(figure, "savefig"):
        raise RecipeError(f"a {type(figure).__name__} is no matplotlib figure: what has savefig() is right")
    file = io.BytesIO()
    figure.savefig(file, **{"format": "png", **options})
    return file.getvalue()


def histogram(
    tag: str, values: Any, bins: Any, max_bins: int | None, step: int | None, wall_time: float
) -> Histogram:
    """Count values in buckets; those that are not finite are left out.

    Args:
        bins: "tensorflow" for edges that grow by a tenth each, both ways from zero, or what numpy's
            histogram takes: a number, a rule's name, the edges.
        max_bins: if there are more buckets, neighbours are put together.

    Raises:
        RecipeError: there is no finite value.
    """
    import numpy as np

    array = as_array(values).astype(np.float64).ravel()
    array = array[np.isfinite(array)]
    if not array.size:
        raise RecipeError(f"{tag!r}: a histogram needs at least one finite value")
    if isinstance(bins, str) and bins == "tensorflow":
        bins = _growing_edges()
    counts, edges = np.histogram(array, bins=bins)
    if max_bins is not None and len(counts) > max_bins:
        step_of = -(-len(counts) // max_bins)
        counts, edges = np.histogram(array, bins=np.unique(np.append(edges[::step_of], edges[-1])))
    return raw_histogram(tag, array, counts, edges, step, wall_time)


def raw_histogram(
    tag: str, array: Any, counts: Any, edges: Any, step: int | None, wall_time: float
) -> Histogram:
    """Make a histogram of values whose buckets are known; empty ones at both ends are cut off."""
    import numpy as np

    filled = np.flatnonzero(counts)
    first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, len(counts) - 1)
    # The empty bucket in front says where the first one that counts begins.
    return Histogram(
        tag,
        float(array.min()),
        float(array.max()),
        float(array.size),
        float(array.sum()),
        float((array * array).sum()),
        [float(edge) for edge in edges[first : last + 2]],
        [0.0, *(float(count) for count in counts[first : last + 1])],
        step,
        wall_time,
    )


def _growing_edges() -> Any:
    import numpy as np

    up = 1e-12 * 1.1 ** np.arange(774)
    return np.concatenate([-up[::-1], [0.0], up])


def _axes(tag: str, array: Any, axes: str, many: bool) -> Any:
    """Put the axes in the order N, H, W, C."""
    allowed = {"NCHW", "NHWC", "CHW", "HWC", "HW", "WH", "NHW"}
    if sorted(axes) not in [sorted(one) for one in allowed] or (many and "N" not in axes):
        raise RecipeError(f"dataformats={axes!r}: e.g. {'NCHW' if many else 'CHW'} is right")
    if array.ndim != len(axes):
        raise RecipeError(f"{tag!r}: dataformats={axes!r} does not fit an array of shape {array.shape}")
    for axis in "NC":
        if axis not in axes:
            array, axes = array[..., None], axes + axis
    return array.transpose([axes.index(axis) for axis in "NHWC"])


def _one_picture(pixels: Any) -> Any:
    """Lay out several pictures in rows of eight."""
    import numpy as np

    number, height, width, channels = pixels.shape
    if number == 1:
        return pixels[0]
    columns = min(max(number, 1), 8)
    rows = -(-number // columns)
    sheet = np.zeros((rows * columns, height, width, channels), pixels.dtype)
    sheet[:number] = pixels
    sheet = sheet.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return sheet.reshape(rows * height, columns * width, channels)


def _bytes_of(tag: str, pixels: Any) -> Any:
    """Turn whole numbers of 0 to 255, fractions of 0 to 1 or truth values into bytes."""
    import numpy as np

    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype.kind == "f":
        return (np.nan_to_num(pixels) * 255.0).clip(0, 255).astype(np.uint8)
    if pixels.dtype.kind in "iu":
        return pixels.clip(0, 255).astype(np.uint8)
    raise RecipeError(f"{tag!r}: pixels are numbers, not {pixels.dtype}")


def _encode(pixels: Any) -> bytes:
    import numpy as np

    height, width, channels = pixels.shape
    # Each row begins with its filter: none (W3C PNG §9.2).
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    body = zlib.compress(rows.tobytes())
    return _PNG + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
