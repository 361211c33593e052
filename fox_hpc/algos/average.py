"""Average: a weighted mean that is made while the answers come, the same bits in whatever order they come."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..model import FLModel
from .arrays import address, copied, fold
from .tree import Plan, difference, put_together, take_apart

#: How many neighbours are summed one after the other, before their sum joins that of other eights.
FAN_OUT = 8


@dataclass
class Part:
    """The mean of some sites: the arrays of its tree, what it counts, and whether its memory is ours."""

    plan: Plan
    arrays: dict[str, Any]
    weight: float
    own: bool

    def take_in(self, other: Part) -> None:
        """Become the mean of both; array by array, so that the other's memory is free as early as can be."""
        total = self.weight + other.weight
        shares = self.weight / total, other.weight / total
        for path, array in self.arrays.items():
            self.arrays[path] = fold(array, other.arrays.pop(path), shares, (self.own, other.own))
        self.weight, self.own = total, True


@dataclass
class _Node:
    """Eight neighbours; those that are there are taken in from left to right, the others wait for that."""

    mean: Part | None = None
    next: int = 0
    waiting: dict[int, Part | None] = field(default_factory=dict)

    def put(self, number: int, part: Part | None) -> None:
        self.waiting[number] = part
        while self.next in self.waiting:
            self._take(self.waiting.pop(self.next))
            self.next += 1

    def close(self) -> Part | None:
        """Take in those that still wait; the ones before them are known not to come."""
        for number in sorted(self.waiting):
            self._take(self.waiting.pop(number))
        return self.mean

    def _take(self, part: Part | None) -> None:
        if self.mean is None:
            self.mean = part
        elif part is not None:
            self.mean.take_in(part)


class Average:
    """A weighted mean of what sites send: `fox.clients(callback=mean).train(w)`, then `mean.result()`.

    They send trees: a dict, list, tuple or dataclass of arrays (numpy or torch), numbers and such trees, of
    one form at all sites. What is no number must be the same at all. Python's numbers become a float. Of an
    FLModel, `meta` and `extra` are left out.

    The mean is made along a fixed tree over the places of the sites in `sites`: eight neighbours from left
    to right, then eight such eights, and so on. So it depends on what which site sent, and on nothing else.
    Memory: one sum for up to 8 sites, two for up to 64, three for up to 512, if answers come in that order;
    what comes before its left neighbours waits for them. See `algos/arrays.py` for dtypes.

    For one thread at a time; a callback is called so.

    Args:
        sites: all that may answer, in order, e.g. `fox.clients.site_names`.
    """

    def __init__(self, sites: Iterable[str]) -> None:
        self._number = {site: number for number, site in enumerate(sites)}
        self._left = dict(self._number)
        self._nodes: dict[tuple[int, int], _Node] = {}
        self._first: tuple[str, Plan] | None = None
        self._weighs = False

    def __call__(self, site: str, answer: Any) -> None:
        """Add what a call gave: a (tree, weight) pair, or an FLModel with `num_samples` in its `meta`.

        The answer's arrays are taken over: sums are made in their memory.

        Raises:
            ValueError: see `add`; or the answer is of another form.
        """
        tree, weight = weighted(site, answer)
        self.add(site, tree, weight, take=True)

    def add(self, site: str, tree: Any, weight: float = 1.0, *, take: bool = False) -> None:
        """Add what one site sent.

        Args:
            site: one of `sites`; once only.
            tree: of the same form as those of the other sites, with the same dtypes and shapes.
            weight: what it counts, e.g. its number of samples; 0 or more.
            take: True lets sums be made in the memory of its arrays. Else they stay as they are, and must
                not be changed before `result`.

        Raises:
            ValueError: the site is unknown or was there before, the weight is negative or no number, the
                tree differs from another site's, or something in it has no mean.
        """
        weight = float(weight)
        if not 0 <= weight < math.inf:
            raise ValueError(f"{site} has the weight {weight}: 0 or a positive number is right")
        try:
            plan, arrays = take_apart(tree)
        except ValueError as error:
            raise ValueError(f"what {site} sent, at {error}") from error
        self._check(site, plan)
        if take:
            _part_aliases(arrays)
        self._weighs = self._weighs or weight > 0
        self._put(site, Part(plan, arrays, weight, take) if weight else None)

    def absent(self, site: str) -> None:
        """Say that a site will send nothing, so that its neighbours need not wait for it."""
        if site in self._left:
            self._put(site, None)

    def result(self) -> Any:
        """Give the mean of what was added, with the dtypes that came in, and keep nothing.

        Raises:
            ValueError: nothing was added, or all weights are 0.
        """
        if self._first is None:
            raise ValueError("there is nothing to average: no site has sent anything")
        if not self._weighs:
            raise ValueError("there is no average: all weights are 0, and one must be above 0")
        self._left.clear()
        mean = self._close()
        self._first = None
        assert mean is not None
        return put_together(mean.plan, mean.arrays, spare=mean.own)

    def _check(self, site: str, plan: Plan) -> None:
        if site not in self._left:
            known = site in self._number
            raise ValueError(f"{site} was added before" if known else f"{site} is none of the sites")
        if self._first is None:
            self._first = site, plan
        elif (found := difference(self._first[1], plan)) is not None:
            raise ValueError(f"{self._first[0]} and {site} differ at {found}")

    def _put(self, site: str, part: Part | None) -> None:
        number, level = self._left.pop(site), 0
        while True:
            place = level, number // FAN_OUT
            node = self._nodes.setdefault(place, _Node())
            node.put(number % FAN_OUT, part)
            if node.next < FAN_OUT:
                return
            del self._nodes[place]
            part, number, level = node.mean, number // FAN_OUT, level + 1

    def _close(self) -> Part | None:
        while True:
            level, number = place = min(self._nodes)
            part = self._nodes.pop(place).close()
            if not self._nodes:
                return part
            above = self._nodes.setdefault((level + 1, number // FAN_OUT), _Node())
            above.put(number % FAN_OUT, part)

    def __repr__(self) -> str:
        parts = [each for node in self._nodes.values() for each in node.waiting.values()]
        sums, waiting = sum(node.mean is not None for node in self._nodes.values()), sum(map(bool, parts))
        told = len(self._number) - len(self._left)
        return f"<Average {told} of {len(self._number)} sites · {sums} sums · {waiting} waiting>"


def weighted(site: str, answer: Any) -> tuple[Any, float]:
    """Give the tree of an answer and what it counts.

    Raises:
        ValueError: it is neither a (tree, weight) pair nor an FLModel that has `num_samples`.
    """
    if isinstance(answer, FLModel) and "num_samples" in answer.meta:
        return answer, answer.meta["num_samples"]
    if isinstance(answer, tuple | list) and len(answer) == 2:
        return answer[0], answer[1]
    what = f"{site} sent a {type(answer).__name__}"
    raise ValueError(f"{what}: a (weights, weight) pair or an FLModel with num_samples in its meta is right")


def _part_aliases(arrays: dict[str, Any]) -> None:
    """Give each array memory of its own: a sum that is made in shared memory would be made twice."""
    seen: set[int] = set()
    for path, array in arrays.items():
        place = address(array)
        if place in seen and array.shape and array.nbytes:
            arrays[path] = copied(array)
        seen.add(place)
