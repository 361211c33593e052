"""Weighted means of two arrays: what is summed in what, by blocks, into memory that is there already.

| dtype of an array | its sum is kept in |
| --- | --- |
| floats and whole numbers of 8 and 16 bits, bfloat16 | fp32 |
| fp32, complex64 | the same |
| whole numbers of 32 and 64 bits, fp64, complex128, longdouble | fp64, or the same |

Each step computes in fp64 (or wider) and rounds once to what the sum is kept in.
"""

from __future__ import annotations

from typing import Any

#: So many elements are computed at once: they and two blocks of fp64 stay in a core's cache.
BLOCK = 32768
#: Beyond it fp64 does not hold every whole number.
_MOST_EXACT = 2**53


def is_torch(value: Any) -> bool:
    """Tell a tensor by its class, so that torch is loaded only where there are tensors."""
    return type(value).__module__.startswith("torch")


def is_scalar(value: Any) -> bool:
    """Tell one of numpy's scalars, which stay what they are."""
    import numpy as np

    return isinstance(value, np.generic)


def as_plain(array: Any) -> Any:
    """Give an array to compute with: numpy's, without a copy, also of a tensor where numpy has its dtype.

    Raises:
        ValueError: there is no mean of such an array.
    """
    import numpy as np

    if is_torch(array):
        return _plain_tensor(array)
    plain = np.asarray(array)
    if plain.dtype.kind not in "iufc":
        raise ValueError(f"there is no mean of dtype {plain.dtype}: numbers have one")
    if plain.dtype.kind in "iu" and plain.dtype.itemsize == 8 and plain.size:
        _refuse_inexact(int(plain.min()), int(plain.max()))
    return plain


def _refuse_inexact(least: int, most: int) -> None:
    if most > _MOST_EXACT or least < -_MOST_EXACT:
        raise ValueError("there is no exact mean of whole numbers beyond 2**53: fp64 does not hold them")


def _plain_tensor(tensor: Any) -> Any:
    import torch

    if tensor.dtype is torch.bool or tensor.is_quantized or tensor.layout is not torch.strided:
        what = f"{tensor.layout} tensor of {tensor.dtype}".replace("torch.", "")
        raise ValueError(f"there is no mean of a {what}: dense numbers have one")
    plain = tensor.detach().resolve_conj().resolve_neg()
    if plain.device.type == "cpu" and _numpy_dtype(plain.dtype) is not None:
        return as_plain(plain.numpy())
    return plain


def _numpy_dtype(dtype: Any) -> Any:
    import numpy as np

    name = str(dtype).removeprefix("torch.")
    return np.dtype(name) if name in np.sctypeDict else None


def address(array: Any) -> int:
    """Give where an array begins; two arrays of one tree that begin together are the same memory."""
    place: int = array.data_ptr() if is_torch(array) else array.__array_interface__["data"][0]
    return place


def copied(array: Any) -> Any:
    """Give the same numbers in memory of their own."""
    return array.clone() if is_torch(array) else array.copy()


def fold(left: Any, right: Any, shares: tuple[float, float], spare: tuple[bool, bool]) -> Any:
    """Give shares[0] * left + shares[1] * right, kept in the dtype that sums have.

    Args:
        left, right: of one shape and kind, see `as_plain`.
        shares: what each counts; together 1.
        spare: whether the memory of each may be taken for the answer. Else it is left as it is.
    """
    kept_in = sum_dtype(left)
    for array, free in zip((left, right), spare, strict=True):
        if free and array.dtype == kept_in and _is_writable(array):
            into = array
            break
    else:
        into = empty_like(left, kept_in)
    if is_torch(left):
        _fold_torch(into, left, right, shares)
    else:
        _fold_numpy(into, left, right, shares)
    return into


def _fold_numpy(into: Any, left: Any, right: Any, shares: tuple[float, float]) -> None:
    import numpy as np

    compute = np.result_type(into.dtype, np.float64)
    into, left, right = into.reshape(-1), left.reshape(-1), right.reshape(-1)
    block, other = np.empty(min(BLOCK, into.size), compute), np.empty(min(BLOCK, into.size), compute)
    for start in range(0, into.size, BLOCK):
        part = slice(start, min(start + BLOCK, into.size))
        size = part.stop - start
        block[:size], other[:size] = left[part], right[part]
        block *= shares[0]
        other *= shares[1]
        block += other
        into[part] = block[:size]


def _fold_torch(into: Any, left: Any, right: Any, shares: tuple[float, float]) -> None:
    import torch

    compute = torch.complex128 if into.is_complex() else torch.float64
    into, left, right = into.view(-1), left.reshape(-1), right.reshape(-1)
    for start in range(0, into.numel(), BLOCK):
        part = slice(start, start + BLOCK)
        there = right[part].to(device=into.device, dtype=compute)
        into[part] = left[part].to(compute) * shares[0] + there * shares[1]


def sum_dtype(array: Any) -> Any:
    """Give the dtype that sums of such arrays are kept in."""
    import numpy as np

    if is_torch(array):
        import torch

        wide = array.dtype.itemsize > (4 if array.is_complex() else 2)
        if array.is_complex():
            return array.dtype if wide else torch.complex64
        return array.dtype if wide and array.is_floating_point() else torch.float64 if wide else torch.float32
    if array.dtype.itemsize <= 2:
        return np.dtype(np.float32)
    return array.dtype.newbyteorder("=") if array.dtype.kind in "fc" else np.dtype(np.float64)


def _is_writable(array: Any) -> bool:
    if is_torch(array):
        return bool(array.is_contiguous())
    return bool(array.flags.writeable and array.flags.c_contiguous)


def empty_like(array: Any, dtype: Any) -> Any:
    """Give memory for an array of the same shape and kind."""
    import numpy as np

    if is_torch(array):
        import torch

        return torch.empty(array.shape, dtype=dtype, device=array.device)
    return np.empty(array.shape, dtype)


def narrowed(array: Any, dtype: Any, *, spare: bool) -> Any:
    """Give a mean in the dtype that its parts had; whole numbers are rounded, halves to even.

    The memory is a new one unless that of `array` may be taken.
    """
    import numpy as np

    if is_torch(array):
        whole = not (dtype.is_floating_point or dtype.is_complex)
        if whole and array.is_floating_point():
            array = array.round()
        return array.to(dtype) if array.dtype != dtype else array if spare else array.clone()
    if dtype.kind in "iu" and array.dtype.kind == "f":
        array = np.asarray(np.rint(array))
    return array if array.dtype == dtype and spare else array.astype(dtype)
