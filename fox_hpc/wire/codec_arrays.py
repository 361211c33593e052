"""Arrays of the codec: numpy and torch, both met only if the process has loaded them already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import CodecError
from .codec_tags import Tag


class Frames:
    """The buffers behind a header, and what is remembered so that aliased arrays travel once."""

    def __init__(self, buffers: Sequence[Any] = ()) -> None:
        self.buffers: list[Any] = list(buffers)
        self._sent: dict[Any, int] = {}
        self._made: dict[Any, Any] = {}

    def add(self, buffer: Any) -> int:
        """Append a buffer and return its number."""
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def add_once(self, key: Any, make: Any) -> int:
        """Return the number of the buffer that was added under this key, or add the one that `make` gives."""
        if key not in self._sent:
            self._sent[key] = self.add(make())
        return self._sent[key]

    def get(self, number: int, path: str) -> memoryview:
        """Return a buffer as bytes.

        Raises:
            CodecError: there is no buffer of that number.
        """
        if not 0 <= number < len(self.buffers):
            raise CodecError(path, f"frame {number} is missing; {len(self.buffers)} came")
        view = memoryview(self.buffers[number])
        return view if view.format == "B" else view.cast("B")

    def made_once(self, key: Any, make: Any) -> Any:
        """Return the array that was made under this key, or make it: aliases stay aliases."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def array_bytes(self, number: int, size: int, itemsize: int, path: str) -> Any:
        """Return a buffer as a writable, aligned numpy array of bytes, copied only if it must be."""
        import numpy

        raw = self.get(number, path)
        if raw.nbytes != size:
            raise CodecError(path, f"the array needs {size} bytes, its frame holds {raw.nbytes}")
        flat = numpy.frombuffer(raw, numpy.uint8)
        aligned = not size or flat.__array_interface__["data"][0] % itemsize == 0
        return flat if aligned and flat.flags.writeable else flat.copy()


def encode_ndarray(array: Any, path: str, frames: Frames) -> list[Any]:
    """Describe a numpy array and add its bytes to the frames."""
    import numpy

    if array.dtype.hasobject or array.dtype.kind == "V":
        raise CodecError(
            path, f"a numpy array of dtype {array.dtype} cannot travel; numbers, text and times can"
        )
    key = ("numpy", array.__array_interface__["data"][0], array.dtype.str, array.shape, array.strides)

    def make() -> Any:
        return numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).data

    number = frames.add_once(key, make) if array.size else frames.add(b"")
    return [Tag.NDARRAY, number, array.dtype.str, list(array.shape)]


def decode_ndarray(rest: Any, path: str, frames: Frames) -> Any:
    """Make the array that `[frame, dtype, shape]` describes."""
    import numpy

    number, dtype_text, shape = rest
    dtype = numpy.dtype(dtype_text)
    if dtype.hasobject:
        raise CodecError(path, f"an array of dtype {dtype} cannot travel")

    def make() -> Any:
        flat = frames.array_bytes(number, math.prod(shape) * dtype.itemsize, dtype.alignment, path)
        return flat.view(dtype).reshape(shape) if flat.size else numpy.empty(shape, dtype)

    return frames.made_once((number, dtype_text, tuple(shape)), make)


def encode_tensor(tensor: Any, path: str, frames: Frames) -> list[Any]:
    """Describe a torch tensor and add its bytes to the frames."""
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        what = "meta" if tensor.device.type == "meta" else str(tensor.layout)
        raise CodecError(
            path, f"a {what} tensor cannot travel; dense ones can: use .to_dense() or dequantize()"
        )
    key = ("torch", str(tensor.device), tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())

    def make() -> Any:
        flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        return flat.view(torch.uint8).numpy().data

    number = frames.add_once(key, make) if tensor.numel() else frames.add(b"")
    return [Tag.TENSOR, number, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]


def decode_tensor(rest: Any, path: str, frames: Frames) -> Any:
    """Make the tensor that `[frame, dtype, shape]` describes."""
    try:
        import torch
    except ImportError as error:
        raise CodecError(path, "a torch tensor came, and torch is not installed here") from error
    number, dtype_name, shape = rest
    dtype = getattr(torch, dtype_name, None)
    if not isinstance(dtype, torch.dtype):
        raise CodecError(path, f"this torch has no dtype {dtype_name}")

    def make() -> Any:
        flat = frames.array_bytes(number, math.prod(shape) * dtype.itemsize, dtype.itemsize, path)
        if not flat.size:
            return torch.empty(shape, dtype=dtype)
        return torch.from_numpy(flat).view(dtype).reshape(shape)

    return frames.made_once((number, dtype_name, tuple(shape)), make)
