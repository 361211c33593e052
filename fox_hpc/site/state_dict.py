"""Weights among the ranks of a site: from one rank to all, and whole from all ranks to rank 0."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from ..errors import RecipeError
from .rank_group import STEP_BYTES, Lane, RankGroup, TorchLane, as_buffer, find_lane, steps, to_bytes

#: A part of a bucket: which value, and which of its bytes.
Piece = tuple[int, slice]


def broadcast_state_dict(
    state: Mapping[str, Any] | None, src: int = 0, *, bucket_bytes: int = STEP_BYTES
) -> dict[str, Any]:
    """Give every rank what rank `src` has, over torch.distributed or MPI, whichever connects the ranks.

    Args:
        state: name → torch tensor or numpy array on rank `src`; what other ranks pass (None, or tensors
            on the meta device) is not looked at.
        src: the rank that has it.
        bucket_bytes: small values travel together in a buffer of at most so many bytes, bigger ones by
            themselves in steps of that; so this is all that a rank needs beside the values.

    Returns:
        name → value in the order of `state`; dtypes and shapes are kept, tensors are on the CPU (on the
        rank's GPU under nccl). On rank `src`, and on the only rank, it shares memory with `state`.

    Raises:
        RecipeError: on every rank, if a value of rank `src` cannot be sent: it is on the meta device, one
            share of a DTensor, sparse, quantized, or no array.
    """
    if bucket_bytes < 1:
        raise RecipeError(f"bucket_bytes={bucket_bytes!r}: a positive number of bytes is right")
    lane = find_lane()
    if lane is None:
        if state is None:
            raise RecipeError("broadcast_state_dict(None) on the only rank: there is nothing to give")
        wrong = _wrong(state)
        if wrong:
            raise RecipeError(wrong)
        return dict(state)
    rows = _share_plan(state, src, lane)
    values: list[_Given | _Awaited]
    if state is not None and lane.rank == src:
        values = [_Given(lane, value) for value in state.values()]
    else:
        values = [_Awaited(lane, *row[1:]) for row in rows]
    _send_buckets(lane, values, src, bucket_bytes)
    return {row[0]: value.whole() for row, value in zip(rows, values, strict=True)}


def gather_state_dict(model: Any) -> dict[str, Any]:
    """Put a model's full state dict together on rank 0, whichever way its weights are spread over ranks.

    Collective: every rank of the site calls it. Takes plain modules, DDP and compiled ones (names are
    those of the module inside), FSDP, FSDP2 and modules whose parameters are DTensors.

    Returns:
        name → tensor on the CPU on rank 0, which shares memory with a model that lies there whole; {} on
        the other ranks.

    Source: torch.distributed.checkpoint.state_dict, from torch 2.2 on.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(model, options=options)
    return dict(state) if RankGroup().rank == 0 else {}


def pack_buckets(sizes: Sequence[int], limit: int) -> Iterator[list[Piece]]:
    """Put values of so many bytes into buckets, in their order.

    >>> list(pack_buckets([2, 0, 1, 5], 4))
    [[(0, slice(0, 2, None)), (2, slice(0, 1, None))], [(3, slice(0, 4, None))], [(3, slice(4, 5, None))]]
    """
    bucket: list[Piece] = []
    room = limit
    for number, size in enumerate(sizes):
        if bucket and size > room:
            yield bucket
            bucket, room = [], limit
        if size > limit:
            yield from ([(number, part)] for part in steps(size, limit))
        elif size:
            bucket.append((number, slice(0, size)))
            room -= size
    if bucket:
        yield bucket


class _Given:
    """A value of the rank that has it."""

    def __init__(self, lane: Lane, value: Any) -> None:
        self._lane = lane
        self.size = value.nbytes
        self._value = value

    def whole(self) -> Any:
        """Give it where the other ranks have theirs."""
        if _is_tensor(self._value):
            value = self._value.detach()
            return value.to(self._lane.device) if _on_torch(self._lane) else value.cpu()
        return self._value

    def raw(self) -> Any:
        """Give its bytes as a buffer of the lane, without a copy if they lie there in order."""
        import numpy

        value = self._value
        if not _is_tensor(value):
            flat = numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8)
            # A read-only array, of a model that was received, cannot become a tensor as it is.
            flat = flat if flat.flags.writeable else flat.copy()
            return _torch().from_numpy(flat).to(self._lane.device) if _on_torch(self._lane) else flat
        flat = self.whole().resolve_conj().resolve_neg().contiguous().reshape(-1).view(_torch().uint8)
        return flat if _on_torch(self._lane) else flat.numpy()


class _Awaited:
    """A value that another rank has, and the room for it."""

    def __init__(self, lane: Lane, kind: str, dtype: str, shape: Sequence[int], size: int) -> None:
        self._lane, self._kind, self._dtype, self._shape = lane, kind, dtype, tuple(shape)
        self.size = size
        self._buffer = lane.empty(size)

    def raw(self) -> Any:
        return self._buffer

    def whole(self) -> Any:
        import numpy

        if self._kind == "numpy":
            flat = self._buffer.cpu().numpy() if _on_torch(self._lane) else self._buffer
            return flat.view(numpy.dtype(self._dtype)).reshape(self._shape)
        torch = _torch()
        flat = self._buffer if _on_torch(self._lane) else torch.from_numpy(self._buffer)
        return flat.view(getattr(torch, self._dtype)).reshape(self._shape)


def _send_buckets(lane: Lane, values: Sequence[_Given | _Awaited], src: int, limit: int) -> None:
    shared: Any = None
    whole: tuple[int, Any] = (-1, None)
    for bucket in pack_buckets([value.size for value in values], limit):
        if len(bucket) == 1:
            number, part = bucket[0]
            # Kept from step to step: it may be a copy.
            whole = whole if whole[0] == number else (number, values[number].raw())
            lane.broadcast(whole[1][part], src)
            continue
        shared = lane.empty(limit) if shared is None else shared
        size = 0
        for number, part in bucket:
            if lane.rank == src:
                shared[size : size + part.stop] = values[number].raw()
            size += part.stop
        lane.broadcast(shared[:size], src)
        for number, part in reversed(bucket):
            size -= part.stop
            if lane.rank != src:
                values[number].raw()[:] = shared[size : size + part.stop]


def _share_plan(state: Mapping[str, Any] | None, src: int, lane: Lane) -> list[list[Any]]:
    """Tell every rank what will come: rows of name, kind, dtype, shape and size, or why nothing will."""
    text = b""
    if lane.rank == src:
        wrong = f"broadcast_state_dict(None) on rank {src}, which should have the state"
        wrong = wrong if state is None else _wrong(state)
        rows = [] if wrong or state is None else [_row(name, value) for name, value in state.items()]
        text = json.dumps(wrong or rows).encode()
    size = as_buffer(lane, len(text).to_bytes(8, "little"))
    lane.broadcast(size, src)
    body = as_buffer(lane, text) if lane.rank == src else lane.empty(int.from_bytes(to_bytes(size), "little"))
    for part in steps(len(body)):
        lane.broadcast(body[part], src)
    plan: list[list[Any]] | str = json.loads(bytes(to_bytes(body)))
    if isinstance(plan, str):
        raise RecipeError(plan)
    return plan


def _row(name: str, value: Any) -> list[Any]:
    if _is_tensor(value):
        return [name, "torch", str(value.dtype).removeprefix("torch."), list(value.shape), value.nbytes]
    return [name, "numpy", value.dtype.str, list(value.shape), value.nbytes]


def _wrong(state: Mapping[str, Any]) -> str:
    """Say what in a state cannot be sent; "" if everything can."""
    import numpy

    for name, value in state.items():
        where = f"broadcast_state_dict: {name!r} is"
        if not _is_tensor(value):
            if not isinstance(value, numpy.ndarray) or value.dtype.kind in "OV":
                return f"{where} {type(value).__name__}; tensors and numpy arrays of numbers are right"
        elif value.is_meta:
            return f"{where} on the meta device, it has a shape and no data: load the weights on that rank"
        elif hasattr(value, "full_tensor"):
            return (
                f"{where} a DTensor, of which each rank has a part: gather_state_dict(model) gives it whole"
            )
        elif value.layout is not _torch().strided or value.is_quantized:
            return f"{where} sparse or quantized; dense tensors are right"
    return ""


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _on_torch(lane: Lane) -> TypeGuard[TorchLane]:
    return isinstance(lane, TorchLane)


def _torch() -> Any:
    import torch

    return torch
