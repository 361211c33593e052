"""SCAFFOLD's control variates, all kept at the server: a site whose job is taken away loses none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arithmetic import blockwise, is_whole
from .arrays import empty_like, sum_dtype
from .tree import put_together, take_apart


class Controls:
    """One control for each site, and their mean; a tree each, kept in the dtype that sums have.

    Args:
        params: the model's weights, for the form.
        sites: all sites of the run.
    """

    def __init__(self, params: Any, sites: Sequence[str]) -> None:
        self._plan, self._form = take_apart(params)
        self._paths = [path for path, array in self._form.items() if not is_whole(array)]
        self._own = {site: self._zeros() for site in sites}
        self._mean = self._zeros()

    def correction(self, site: str) -> Any:
        """Give the mean control less the site's own, in the form and dtypes of the params."""
        made = self._zeros()
        for path in self._paths:
            blockwise(
                lambda mean, own: (mean - own,), [self._mean[path], self._own[site][path]], [made[path]]
            )
        return put_together(self._plan, made, spare=True)

    def learn(self, site: str, sent: Any, answered: Any, lr_sum: float) -> None:
        """Set a site's control to its mean gradient on its way: (sent - answered) / lr_sum - correction."""

        def renewed(own: Any, mean: Any, x: Any, y: Any) -> Sequence[Any]:
            return (own - mean + (x - y) / lr_sum,)

        before, after, own = take_apart(sent)[1], take_apart(answered)[1], self._own[site]
        for path in self._paths:
            blockwise(renewed, [own[path], self._mean[path], before[path], after[path]], [own[path]])

    def renew(self) -> None:
        """Make the mean of all sites' controls, also of those that did not answer this time."""
        for path in self._paths:
            owns = [own[path] for own in self._own.values()]
            blockwise(lambda *blocks: (sum(blocks) / len(blocks),), owns, [self._mean[path]])

    def _zeros(self) -> dict[str, Any]:
        made = {path: empty_like(array, sum_dtype(array)) for path, array in self._form.items()}
        for array in made.values():
            array[...] = 0
        return made
