"""The site's part of FedProx: what it adds to its loss, or to its gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def proximal_term(params: Mapping[str, Any] | Iterable[tuple[str, Any]], received: Any, mu: float) -> Any:
    """Give μ/2 · ‖w - received‖², to be added to the loss; torch differentiates it.

    Args:
        params: name → array or tensor, or (name, parameter) pairs as `net.named_parameters()` gives.
        received: name → array, the weights as they came; may have more than `params`.
        mu: the strength, `model.extra["mu"]` with the algorithm FedProx.

    Returns:
        A number, or a tensor of no dimension.
    """
    total: Any = 0.0
    for name, array, there in _pairs(params, received):
        total = total + _norm2(array - there, name)
    return mu / 2 * total


def proximal_gradient(
    params: Mapping[str, Any] | Iterable[tuple[str, Any]], received: Any, mu: float
) -> dict[str, Any]:
    """Give name → μ · (w - received), to be added to the gradients, for who has no automatic ones."""
    return {name: mu * (array - there) for name, array, there in _pairs(params, received)}


def _pairs(params: Any, received: Any) -> Iterable[tuple[str, Any, Any]]:
    for name, array in params.items() if isinstance(params, Mapping) else params:
        if name not in received:
            raise ValueError(f"{name} was not received, so there is nothing to hold it near to")
        there = received[name]
        device = getattr(array, "device", None)
        yield name, array, there.to(device) if hasattr(there, "to") and device is not None else there


def _norm2(change: Any, name: str) -> Any:
    if not hasattr(change, "shape"):
        raise ValueError(f"{name} is a {type(change).__name__}: arrays and tensors have a norm")
    return (abs(change) ** 2).sum()
