"""The mean of answers that are read piece by piece, so that the server never holds whole ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from ..errors import AnswerRenewed
from ..late import LATE_BYTES, Late
from .arrays import address, empty_like
from .average import Average, weighted
from .tree import Plan, difference, put_together, take_apart

#: So much of an array is read from every site at a time …
BLOCK_BYTES = 4 * 2**20
#: … and so much is on its way at most, whatever the number of sites, besides the block that is needed.
AHEAD_BYTES = 32 * 2**20


def late_average(answers: Mapping[str, Late], sites: tuple[str, ...]) -> Any:
    """Average late answers; the same bits as `Average` gives for whole ones. Releases them.

    Raises:
        ValueError: as `Average`.
        CallError: a site was lost before its answer had been read.
    """
    try:
        while True:
            try:
                return _Pass(answers, sites).run()
            except AnswerRenewed:
                # A site's new attempt need not give the same bits: nothing of the old one may stay in.
                continue
    finally:
        for late in answers.values():
            late.release()


class _Pass:
    """One reading of all answers, from the beginning."""

    def __init__(self, answers: Mapping[str, Late], sites: tuple[str, ...]) -> None:
        self._sites, self._late = sites, dict(answers)
        self._weights: dict[str, float] = {}
        self._arrays: dict[str, dict[str, Any]] = {}
        self._plan: Plan | None = None
        for site, late in answers.items():
            tree, self._weights[site] = weighted(site, late.value)
            try:
                plan, self._arrays[site] = take_apart(tree)
            except ValueError as error:
                raise ValueError(f"what {site} sent, at {error}") from error
            if self._plan is None:
                self._plan, first = plan, site
            elif (found := difference(self._plan, plan)) is not None:
                raise ValueError(f"{first} and {site} differ at {found}")

    def run(self) -> Any:
        """Give the mean."""
        if self._plan is None:
            raise ValueError("there is nothing to average: no site has sent anything")
        first = next(iter(self._arrays.values()))
        means = {path: empty_like(array, array.dtype) for path, array in first.items()}
        flat = {path: mean.reshape(-1) for path, mean in means.items()}
        for path, part in self._read(first):
            blocks = {site: arrays[path].reshape(-1)[part] for site, arrays in self._arrays.items()}
            flat[path][part] = self._mean(path, blocks)
            for site, block in blocks.items():
                if _is_late(self._arrays[site][path]):
                    self._late[site].drop(address(block), block.nbytes)
        return put_together(self._plan, means, spare=True)

    def _mean(self, path: str, blocks: dict[str, Any]) -> Any:
        mean = Average(self._sites)
        for site, block in blocks.items():
            # What is small came with the answer, and must be there for another reading.
            mean.add(site, block, self._weights[site], take=_is_late(self._arrays[site][path]))
        return mean.result()

    def _read(self, first: dict[str, Any]) -> Iterator[tuple[str, slice]]:
        """Give piece after piece once all sites' bytes of it are here, with others on their way behind it."""
        ahead = max(1, AHEAD_BYTES // (BLOCK_BYTES * len(self._arrays)))
        on_way: deque[tuple[str, slice, list[Future[None]]]] = deque()
        for path, part in _pieces(first):
            on_way.append((path, part, self._ask(path, part)))
            if len(on_way) > ahead:
                yield self._here(*on_way.popleft())
        while on_way:
            yield self._here(*on_way.popleft())

    def _ask(self, path: str, part: slice) -> list[Future[None]]:
        asked = []
        for site, arrays in self._arrays.items():
            block = arrays[path].reshape(-1)[part]
            if _is_late(arrays[path]):
                asked.append(self._late[site].load(address(block), block.nbytes))
        return asked

    def _here(self, path: str, part: slice, asked: list[Future[None]]) -> tuple[str, slice]:
        for future in asked:
            future.result()
        return path, part


def _is_late(array: Any) -> bool:
    return bool(array.nbytes >= LATE_BYTES)


def _pieces(arrays: dict[str, Any]) -> Iterator[tuple[str, slice]]:
    for path, array in arrays.items():
        size = array.nbytes // max(1, array.dtype.itemsize)
        step = max(1, BLOCK_BYTES // array.dtype.itemsize)
        for start in range(0, size, step):
            yield path, slice(start, start + step)
