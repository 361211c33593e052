"""Weighted averages of what a call gave, whichever way its answers come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..api.group_call import GroupCall
from ..api.results import Results
from ..late import Late
from .average import Average, weighted
from .late import late_average


def weighted_average(updates: GroupCall | Iterable[Any]) -> Any:
    """Average what sites sent, each weighted by e.g. its number of samples.

    Args:
        updates: (weights, weight) pairs, or FLModels with `num_samples` in their `meta`. A call that does
            not wait, `fox.clients(blocking=False).train(w)`, is averaged while its answers come, so that
            only the sum and what has just come are held. Of `fox.clients(late=True).train(w)` the sites
            keep their answers, which are read piece by piece: only the mean is held. Weights are e.g.
            name → array, numpy or torch; `algos.Average` says what else they may be, and in which order
            and dtype sums are made.

    Returns:
        The same form as each of the updates, with their dtypes; whole numbers are rounded. The same updates
        of the same sites always give the same bits. Updates in a list stay as they are.

    Raises:
        ValueError: there is no update, a weight is negative, all are 0, or updates differ in form.
        GroupError: fewer sites answered than were needed.
    """
    if isinstance(updates, GroupCall):
        return average_on_arrival(updates)
    if isinstance(updates, Results):
        named, sites = updates.items(), updates.called
    else:
        named = [(f"update {number}", update) for number, update in enumerate(updates, 1)]
        sites = tuple(name for name, _ in named)
    late = {name: update for name, update in named if isinstance(update, Late)}
    if late:
        return late_average(late, sites)
    mean = Average(sites)
    for name, update in named:
        mean.add(name, *weighted(name, update))
    return mean.result()


def average_on_arrival(call: GroupCall, read: Callable[[str, Any], tuple[Any, float]] = weighted) -> Any:
    """Average the answers of a call while they come; `read` gives the tree of each and what it counts."""
    mean = Average(call.called)
    try:
        for site, answer in call.as_completed():
            mean.add(site, *read(site, answer), take=True)
            del answer  # it would live until the next one comes
            for lost in call.failures:
                mean.absent(lost)
    except BaseException:
        call.cancel()
        raise
    return mean.result()
