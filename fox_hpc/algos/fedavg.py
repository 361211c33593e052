"""Federated averaging: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def weighted_average(updates: Iterable[tuple[Mapping[str, Any], float]]) -> dict[str, Any]:
    """Average what sites sent, each weighted by e.g. its number of samples.

    Args:
        updates: (name → array, weight) pairs, numpy or torch; all with the same names and shapes.

    Returns:
        name → array, of the kind and dtype of the first update. Sums are made in fp64 in the order of
        `updates` (complex ones in complex128), so that the same updates always give the same bits;
        averages of whole numbers are rounded.

    Raises:
        ValueError: there is no update, a weight is negative, all are 0, or names or shapes differ.
    """
    pairs = list(updates)
    total = _total_weight(pairs)
    first = pairs[0][0]
    for params, _ in pairs[1:]:
        if params.keys() != first.keys():
            raise ValueError(f"the updates differ in their names: {sorted(set(params) ^ set(first))}")
    return {
        name: _average(name, [(params[name], weight / total) for params, weight in pairs]) for name in first
    }


def _total_weight(pairs: list[tuple[Mapping[str, Any], float]]) -> float:
    if not pairs:
        raise ValueError("there is no update to average")
    weights = [float(weight) for _, weight in pairs]
    if any(weight < 0 for weight in weights) or not sum(weights) > 0:
        raise ValueError(f"weights {weights}: none may be negative, and one must be above 0")
    return sum(weights)


def _average(name: str, terms: list[tuple[Any, float]]) -> Any:
    first = terms[0][0]
    shapes = {tuple(getattr(array, "shape", ())) for array, _ in terms}
    if len(shapes) > 1:
        raise ValueError(f"the updates differ in the shape of {name}: {sorted(shapes)}")
    # A tensor shows its kind itself, so that torch is loaded only where there are tensors.
    return _average_torch(terms) if type(first).__module__.startswith("torch") else _average_numpy(terms)


def _average_numpy(terms: list[tuple[Any, float]]) -> Any:
    import numpy as np

    first = np.asarray(terms[0][0])
    wide = np.result_type(first.dtype, np.float64)
    total = np.zeros(first.shape, wide)
    for array, share in terms:
        total += np.asarray(array, wide) * share
    if first.dtype.kind in "iub":
        total = np.rint(total)
    return total.astype(first.dtype)


def _average_torch(terms: list[tuple[Any, float]]) -> Any:
    import torch

    first = terms[0][0]
    wide = torch.complex128 if first.is_complex() else torch.float64
    total = torch.zeros(first.shape, dtype=wide, device=first.device)
    for tensor, share in terms:
        total += tensor.detach().to(device=first.device, dtype=wide) * share
    if not (first.is_floating_point() or first.is_complex()):
        total = total.round()
    return total.to(first.dtype)
