"""What a few sites cannot spoil, whatever they send: numbers in order, and models by their distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arithmetic import blocks_of, computed


def sorted_mean(trees: Sequence[Any], cut: int) -> Any:
    """Give the mean of each number over the trees, without the `cut` least and the `cut` greatest.

    What is no number (NaN) counts as greatest. With a cut of (n - 1) // 2 it is the median.

    Raises:
        ValueError: there are complex numbers, which have no order; or the cut leaves nothing.
    """
    import numpy as np

    if not 0 <= 2 * cut < len(trees):
        raise ValueError(f"{len(trees)} answers less {cut} at each end leave nothing")

    def middle(*blocks: Any) -> Any:
        stacked = np.stack(blocks)
        if np.iscomplexobj(stacked):
            raise ValueError("complex numbers have no order, and so no median and no trimmed mean")
        with np.errstate(invalid="ignore", over="ignore"):
            return np.sort(stacked, axis=0)[cut : len(trees) - cut].mean(axis=0)

    return computed(middle, *trees)


def krum_scores(trees: Sequence[Any], byzantine: int) -> list[float]:
    """Give for each tree the sum of its squared distances to its n - byzantine - 2 nearest others."""
    import numpy as np

    squares = np.zeros((len(trees), len(trees)))
    with np.errstate(invalid="ignore", over="ignore"):
        for blocks in blocks_of(trees):
            stacked = np.stack(blocks)
            for number, one in enumerate(stacked):
                squares[number] += (np.abs(stacked - one) ** 2).sum(axis=1)
    squares[~np.isfinite(squares)] = np.inf
    np.fill_diagonal(squares, np.inf)
    nearest = np.sort(squares, axis=1)[:, : len(trees) - byzantine - 2]
    return [float(score) for score in nearest.sum(axis=1)]
