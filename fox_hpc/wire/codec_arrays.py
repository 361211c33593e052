"""Arrays of the codec: numpy and torch, both met only if the process has loaded them already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .codec_path import At, refuse
from .codec_tags import Tag

#: The kinds of numpy dtype that are plain bytes: numbers, text and times; no pointers, no records.
_KINDS = "biufcSUmM"
_MOST_DIMENSIONS = 64


class Frames:
    """The buffers behind a header, and what is remembered so that aliased arrays travel once."""

    def __init__(self, buffers: Sequence[Any] = ()) -> None:
        self.buffers: list[Any] = list(buffers)
        self._sent: dict[Any, int] = {}
        self._held: list[Any] = []
        self._made: dict[int, tuple[Any, Any]] = {}

    def add(self, buffer: Any) -> int:
        """Append a buffer and return its number."""
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def add_once(self, key: Any, array: Any, make: Any) -> int:
        """Return the number of the buffer that was added under this key, or add the one that `make` gives.

        The array is held: the key has its address, which must not become another one's.
        """
        if key not in self._sent:
            self._held.append(array)
            self._sent[key] = self.add(make())
        return self._sent[key]

    def made_once(self, number: Any, key: Any, make: Any, at: At) -> Any:
        """Return what was made of a buffer, or make it: aliases stay aliases.

        A buffer is one thing only, so that no header can have one buffer copied many times.

        Raises:
            CodecError: there is no buffer of that number, or it was something else before.
        """
        if type(number) is not int or not 0 <= number < len(self.buffers):
            raise refuse(at, f"frame {number!r} is missing; {len(self.buffers)} came")
        if number not in self._made:
            view = memoryview(self.buffers[number])
            self._made[number] = key, make(view if view.format == "B" else view.cast("B"))
        known, made = self._made[number]
        if known != key:
            raise refuse(at, f"frame {number} is used for two things")
        return made


def encode_ndarray(array: Any, at: At, frames: Frames) -> list[Any]:
    """Describe a numpy array and add its bytes to the frames."""
    import numpy

    if type(array) is not numpy.ndarray and not isinstance(array, numpy.memmap):
        kind = type(array)
        raise refuse(at, f"a {kind.__module__}.{kind.__qualname__} would lose its class: use numpy.asarray()")
    dtype = _numpy_dtype(array.dtype, at)
    key = ("numpy", array.__array_interface__["data"][0], dtype.str, array.shape, array.strides)

    def make() -> Any:
        return numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).data

    number = frames.add_once(key, array, make) if array.nbytes else frames.add(b"")
    return [Tag.NDARRAY, number, dtype.str, list(array.shape)]


def encode_numpy_scalar(value: Any, at: At) -> list[Any]:
    """Describe a numpy scalar, with its bytes."""
    dtype = _numpy_dtype(value.dtype, at)
    # An empty text gives one zero character where its dtype says none.
    return [Tag.NUMPY_SCALAR, value.tobytes()[: dtype.itemsize], dtype.str]


def _numpy_dtype(dtype: Any, at: At) -> Any:
    if dtype.kind not in _KINDS:
        raise refuse(at, f"a numpy array of dtype {dtype} cannot travel; numbers, text and times can")
    return dtype


def decode_ndarray(rest: Any, at: At, frames: Frames) -> Any:
    """Make the array that `[frame, dtype, shape]` describes."""
    import numpy

    number, dtype_text, shape = rest
    dtype, size = _sent_dtype(dtype_text, at), _size(shape, at)

    def make(raw: memoryview) -> Any:
        flat = _flat(raw, size * dtype.itemsize, dtype.alignment, at)
        return numpy.ndarray(shape, dtype, flat)

    return frames.made_once(number, (dtype_text, shape), make, at)


def decode_numpy_scalar(rest: Any, at: At) -> Any:
    """Make the numpy scalar that `[bytes, dtype]` describes."""
    import numpy

    data, dtype_text = rest
    dtype = _sent_dtype(dtype_text, at)
    if not dtype.itemsize and not data:
        return dtype.type()
    return numpy.ndarray((), dtype, _flat(memoryview(data), dtype.itemsize, dtype.alignment, at))[()]


def _sent_dtype(text: Any, at: At) -> Any:
    import numpy

    if type(text) is not str:
        raise refuse(at, f"{text!r} is not a numpy dtype")
    return _numpy_dtype(numpy.dtype(text), at)


def _size(shape: Any, at: At) -> int:
    """Count the elements of an array of that shape, which may be anything that a peer made up."""
    fine = type(shape) is list and len(shape) <= _MOST_DIMENSIONS
    if not fine or not all(type(length) is int and length >= 0 for length in shape):
        raise refuse(at, f"{shape!r} is not a shape")
    return math.prod(shape)


def _flat(raw: memoryview, size: int, alignment: int, at: At) -> Any:
    """Give a buffer of exactly that size as a writable, aligned array of bytes, copied only if it must be."""
    import numpy

    if raw.nbytes != size:
        raise refuse(at, f"the array needs {size} bytes, its frame holds {raw.nbytes}")
    flat = numpy.frombuffer(raw, numpy.uint8)
    aligned = not size or flat.__array_interface__["data"][0] % alignment == 0
    return flat if aligned and flat.flags.writeable else flat.copy()


def encode_tensor(tensor: Any, at: At, frames: Frames) -> list[Any]:
    """Describe a torch tensor and add its bytes to the frames."""
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        what = (
            "quantized" if tensor.is_quantized else "meta" if tensor.device.type == "meta" else tensor.layout
        )
        raise refuse(at, f"a {what} tensor cannot travel; dense ones can: use .to_dense() or .dequantize()")
    try:
        number = _add_tensor(tensor, frames) if tensor.numel() else frames.add(b"")
    except (RuntimeError, TypeError) as error:
        # Tensors that only look dense: nested, fake, or inside vmap.
        raise refuse(at, f"this {type(tensor).__name__} has no bytes that can travel: {error}") from error
    return [Tag.TENSOR, number, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]


def _add_tensor(tensor: Any, frames: Frames) -> int:
    import torch

    def make() -> Any:
        dense = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
        # A tensor of one element is contiguous with any stride; view() wants 1.
        return dense.as_strided((dense.numel(),), (1,)).view(torch.uint8).numpy().data

    # x and x.conj() are the same bytes, read differently.
    reading = (tensor.dtype, tensor.is_conj(), tensor.is_neg())
    place = (str(tensor.device), tensor.data_ptr(), tensor.shape, tensor.stride())
    return frames.add_once(("torch", *place, *reading), tensor, make)


def decode_tensor(rest: Any, at: At, frames: Frames) -> Any:
    """Make the tensor that `[frame, dtype, shape]` describes."""
    try:
        import torch
    except ImportError as error:
        raise refuse(at, "a torch tensor came, and torch is not installed here") from error
    number, dtype_name, shape = rest
    # Not getattr: torch loads parts of itself when it is asked for their names.
    dtype = vars(torch).get(dtype_name)
    if not isinstance(dtype, torch.dtype) or dtype_name.startswith("q"):
        raise refuse(at, f"this torch has no dtype {dtype_name!r}")
    size = _size(shape, at)

    def make(raw: memoryview) -> Any:
        flat = _flat(raw, size * dtype.itemsize, dtype.itemsize, at)
        # What comes may be decoded on a thread that is in user code, whose modes are not for this tensor.
        with torch.inference_mode(False):
            if not size:
                return torch.empty(shape, dtype=dtype, device="cpu")
            return torch.from_numpy(flat).view(dtype).reshape(shape)

    return frames.made_once(number, (dtype, shape), make, at)
