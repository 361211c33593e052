"""Receivers: where the entries of all sites end, at the server; what one promises, and how one is chosen."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..errors import RecipeError
from ..metric import Entry, Point
from .mlflow_receiver import MLflowReceiver
from .tensorboard_receiver import TensorBoardReceiver
from .tracked_run import TrackedRun
from .wandb_receiver import WandBReceiver

#: The most series that a History keeps; a run with more shows the first ones in its table.
MOST_SERIES = 10_000


@runtime_checkable
class Receiver(Protocol):
    """Takes entries as they come in; a class of the user's own may be one.

    All calls come on one thread, which is the receiver's own: it may take its time, and holds nobody up.
    `open` comes before the first entries, `close` after the last ones if `open` was called; a run that logs
    nothing calls neither. The entries of one site come in the order in which it logged them. What a method
    raises is logged once, and counted: these entries are then not written.
    """

    def open(self, run: TrackedRun) -> None:
        """Begin; called again with the next entries if it raised."""

    def receive(self, site: str, entries: Sequence[Entry]) -> None:
        """Take some entries of one site, and return when a reader of the receiver's output can see them."""

    def close(self) -> None:
        """Write what is left and let go of files."""


class History:
    """Keeps the last `limit` points of each curve, for tables."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._series: dict[tuple[str, str], deque[Point]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<History {len(self._series)} series>"

    def receive(self, site: str, entries: Sequence[Entry]) -> None:
        """Remember the points; from any thread."""
        with self._lock:
            for point in entries:
                if not isinstance(point, Point):
                    continue
                key = (site, point.tag)
                if key in self._series:
                    self._series[key].append(point)
                elif len(self._series) < MOST_SERIES:
                    self._series[key] = deque([point], maxlen=self._limit)

    def rows(self) -> list[tuple[str, str, int | None, float]]:
        """Give (site, tag, step, value) of all that is remembered, curve by curve, oldest first."""
        with self._lock:
            return [
                (site, tag, point.step, point.value)
                for (site, tag), points in self._series.items()
                for point in points
            ]


_MAKERS: dict[str, Callable[[Path], Receiver]] = {
    "tensorboard": lambda folder: TensorBoardReceiver(folder / "tensorboard"),
    "mlflow": lambda folder: MLflowReceiver(),
    "wandb": lambda folder: WandBReceiver(),
}

#: Which names `FoxRecipe(tracking_type=)` knows.
TRACKING_TYPES = tuple(_MAKERS)


def checked_tracking_type(kind: Any) -> tuple[str | Receiver, ...]:
    """Give what a recipe asks for as names and receivers.

    Raises:
        RecipeError: it is neither a known name, nor a receiver, nor a list of these; or something twice.
    """
    if kind is None:
        return ()
    kinds = tuple(kind) if isinstance(kind, list | tuple) else (kind,)
    for one in kinds:
        if isinstance(one, str) and one in _MAKERS:
            continue
        if isinstance(one, str | type) or not isinstance(one, Receiver):
            right = ", ".join(repr(name) for name in _MAKERS)
            raise RecipeError(
                f"tracking_type={kind!r}: {right}, an object with open(), receive() and close(), a list of "
                "these, or None is right"
            )
    if any(one in kinds[:place] for place, one in enumerate(kinds)):
        raise RecipeError(f"tracking_type={kind!r} has something twice")
    return kinds


def make_receivers(kind: Any, folder: str | os.PathLike[str]) -> list[Receiver]:
    """Make the receivers of a run in folders of their own below the run folder `folder`.

    Raises:
        RecipeError: see checked_tracking_type.
        MissingExtra: a package is not installed.
    """
    kinds = checked_tracking_type(kind)
    return [_MAKERS[one](Path(folder)) if isinstance(one, str) else one for one in kinds]
