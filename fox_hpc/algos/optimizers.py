"""Optimizers of the server: their gradient is minus the change that the sites' mean brings.

Moments are kept in the dtype that sums have, and computed in fp64. Whole numbers are not stepped: they
take the mean's value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .algorithm import refuse_unless
from .arithmetic import blockwise, is_whole
from .arrays import copied, empty_like, sum_dtype
from .tree import put_together, take_apart


@dataclass
class Optimizer:
    """Plain steps: x ← x + lr · change. Those below have moments, which they keep from round to round.

    Args:
        lr: the server's learning rate; 1 takes the mean.
    """

    lr: float = 1.0
    _moments: dict[str, list[Any]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        refuse_unless(self.lr > 0, "lr", self.lr, "a number above 0")

    def starts(self) -> tuple[float, ...]:
        """Give what each moment begins with."""
        return ()

    def step(self, change: Any, *moments: Any) -> Sequence[Any]:
        """Give the step of a block, and its new moments."""
        return (self.lr * change,)

    def reset(self) -> None:
        """Forget the moments; a run begins without."""
        self._moments.clear()

    def move(self, model: Any, mean: Any) -> Any:
        """Give the model after a step; both are trees of one form, and stay as they are."""
        plan, ours = take_apart(model)
        theirs, moved = take_apart(mean)[1], {}
        for path, array in ours.items():
            moved[path] = copied(theirs[path]) if is_whole(array) else self._moved(path, array, theirs[path])
        return put_together(plan, moved, spare=True)

    def _moved(self, path: str, array: Any, target: Any) -> Any:
        def one(x: Any, y: Any, *moments: Any) -> Sequence[Any]:
            change, *new = self.step(y - x, *moments)
            return (x + change, *new)

        into, *kept = [empty_like(array, sum_dtype(array)) for _ in range(1 + len(self.starts()))]
        for moment, start in zip(kept, self.starts(), strict=True):
            moment[...] = start
        moments = self._moments.setdefault(path, kept)
        blockwise(one, [array, target, *moments], [into, *moments])
        return into


@dataclass
class Momentum(Optimizer):
    """m ← beta · m + change; x ← x + lr · m."""

    beta: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(0 <= self.beta < 1, "beta", self.beta, "a number from 0 to below 1")

    def starts(self) -> tuple[float, ...]:
        """See Optimizer."""
        return (0.0,)

    def step(self, change: Any, *moments: Any) -> Sequence[Any]:
        """See Optimizer."""
        new = self.beta * moments[0] + change
        return self.lr * new, new


@dataclass
class Nesterov(Momentum):
    """m ← beta · m + change; x ← x + lr · (change + beta · m), as torch's SGD with nesterov=True."""

    def step(self, change: Any, *moments: Any) -> Sequence[Any]:
        """See Optimizer."""
        new = self.beta * moments[0] + change
        return self.lr * (change + self.beta * new), new


@dataclass
class Adaptive(Optimizer, ABC):
    """What Adagrad, Adam and Yogi share: m ← beta1 · m + (1 - beta1) · change; x ← x + lr · m / (√v + tau).

    v begins with tau². There is no correction of the first rounds, as in the paper of FedOpt.
    """

    lr: float = 0.1
    beta1: float = 0.9
    tau: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(0 <= self.beta1 < 1, "beta1", self.beta1, "a number from 0 to below 1")
        refuse_unless(self.tau > 0, "tau", self.tau, "a number above 0")

    def starts(self) -> tuple[float, ...]:
        """See Optimizer."""
        return 0.0, self.tau**2

    @abstractmethod
    def second(self, v: Any, square: Any) -> Any:
        """Give the new v."""

    def step(self, change: Any, *moments: Any) -> Sequence[Any]:
        """See Optimizer."""
        m = self.beta1 * moments[0] + (1 - self.beta1) * change
        v = self.second(moments[1], abs(change) ** 2)
        return self.lr * m / (v**0.5 + self.tau), m, v


@dataclass
class Adagrad(Adaptive):
    """v ← v + change²; without a first moment unless beta1 is given."""

    beta1: float = 0.0

    def second(self, v: Any, square: Any) -> Any:
        """See Adaptive."""
        return v + square


@dataclass
class Adam(Adaptive):
    """v ← beta2 · v + (1 - beta2) · change²."""

    beta2: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(0 <= self.beta2 < 1, "beta2", self.beta2, "a number from 0 to below 1")

    def second(self, v: Any, square: Any) -> Any:
        """See Adaptive."""
        return self.beta2 * v + (1 - self.beta2) * square


@dataclass
class Yogi(Adam):
    """v ← v - (1 - beta2) · change² · sign(v - change²)."""

    def second(self, v: Any, square: Any) -> Any:
        """See Adaptive."""
        import numpy as np

        return v - (1 - self.beta2) * square * np.sign(v - square)
