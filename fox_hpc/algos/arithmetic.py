"""Arithmetic on whole models: trees of arrays, computed by blocks in fp64, kept as `algos/arrays.py` says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .arrays import BLOCK, copied, empty_like, is_torch, sum_dtype
from .tree import difference, put_together, take_apart


def computed(step: Callable[..., Any], *trees: Any, whole: int | None = None) -> Any:
    """Give the tree whose every number is step() of the numbers that stand in the same place of `trees`.

    Args:
        step: takes a one-dimensional fp64 (or complex128) block of each tree, and gives one. It must not
            change them.
        trees: of one form; the first gives dtypes and devices.
        whole: whole numbers are taken from this tree as they are; None computes and rounds them, too.
    """
    plan, first = take_apart(trees[0])
    others = [take_apart(tree)[1] for tree in trees[1:]]
    made: dict[str, Any] = {}
    for path in sorted(first):
        ins = [first[path], *(other[path] for other in others)]
        if whole is not None and is_whole(first[path]):
            made[path] = copied(ins[whole])
            continue
        made[path] = empty_like(first[path], sum_dtype(first[path]))
        blockwise(lambda *blocks: (step(*blocks),), ins, [made[path]])
    return put_together(plan, made, spare=True)


def change(before: Any, after: Any) -> Any:
    """Give after - before, in the dtypes of `after`; whole numbers are those of `after`."""
    return computed(lambda y, x: y - x, after, before, whole=0)


def blockwise(step: Callable[..., Sequence[Any]], ins: Sequence[Any], outs: Sequence[Any]) -> None:
    """Compute outs = step(*ins) by blocks; an array may stand in both.

    Args:
        step: takes a block of each of `ins` and gives one for each of `outs`, see `computed`.
        ins, outs: arrays of one size, see `arrays.as_plain`; what is computed is rounded to those of `outs`.
    """
    flat_ins, flat_outs = [_flat(array) for array in ins], [array.reshape(-1) for array in outs]
    for start in range(0, _size(ins[0]), BLOCK):
        part = slice(start, start + BLOCK)
        results = step(*(_wide(array[part]) for array in flat_ins))
        for out, result in zip(flat_outs, results, strict=True):
            out[part] = _like(out, result)


def blocks_of(trees: Sequence[Any]) -> Iterator[list[Any]]:
    """Give the same block of all trees, in fp64, one after the other; without whole numbers.

    Counters, e.g. of batches, say nothing about where a model is.
    """
    arrays = [take_apart(tree)[1] for tree in trees]
    for path in sorted(arrays[0]):
        if not is_whole(arrays[0][path]):
            flat = [_flat(each[path]) for each in arrays]
            for start in range(0, _size(arrays[0][path]), BLOCK):
                yield [_wide(array[start : start + BLOCK]) for array in flat]


def distance(one: Any, other: Any) -> float:
    """Give the Euclidean distance of two models, over all their numbers that are not whole."""
    import numpy as np

    return math.sqrt(sum(float(np.sum(np.abs(a - b) ** 2)) for a, b in blocks_of([one, other])))


def refuse_another_form(model: Any, who: str, tree: Any) -> None:
    """Raise ValueError if a tree differs from the model in its names, kinds, dtypes or shapes."""
    try:
        plan, _ = take_apart(tree)
    except ValueError as error:
        raise ValueError(f"what {who} sent, at {error}") from error
    if (found := difference(take_apart(model)[0], plan)) is not None:
        raise ValueError(f"the model and what {who} sent differ at {found}")


def is_whole(array: Any) -> bool:
    """Tell arrays of whole numbers, which algorithms count with and do not step."""
    if is_torch(array):
        return not (array.is_floating_point() or array.is_complex())
    return bool(array.dtype.kind in "iu")


def _flat(array: Any) -> Any:
    return array.reshape(-1)


def _size(array: Any) -> int:
    return int(array.numel() if is_torch(array) else array.size)


def _wide(block: Any) -> Any:
    import numpy as np

    if is_torch(block):
        import torch

        wide = torch.complex128 if block.is_complex() else torch.float64
        return block.to(device="cpu", dtype=wide).numpy()
    return block.astype(np.result_type(block.dtype, np.float64))


def _like(out: Any, block: Any) -> Any:
    if is_torch(out):
        import torch

        return torch.from_numpy(block).to(device=out.device, dtype=out.dtype)
    return block
