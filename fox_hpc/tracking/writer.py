"""Writers: what training code calls to log a number, in every environment.

A writer only makes points and hands them to the run's context. In one process the context passes them
to the receivers, in a job it sends them over the wire; a writer cannot tell the two apart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ..api.context import current
from ..errors import RecipeError
from ..metric import Point

logger = logging.getLogger(__name__)

Track = Callable[[Sequence[Point]], None]

#: Writers that hold unsent points. Held strongly: a writer that the user's code dropped still owes them.
#: In the order in which they began to owe, so that points arrive in the order of their steps.
_owing: dict[BaseWriter, None] = {}
_owing_lock = threading.Lock()
_dropped_noticed = threading.Event()


class BaseWriter:
    """Collects points and hands them on in small batches; safe to share between threads and sites.

    Points leave when `max_queue` of them wait, when the oldest is `flush_secs` old at the next one,
    and at `flush`, `close` or the end of the site. They belong to the site whose code logged them, also
    when simulated sites share one writer. In a run without tracking they are dropped, with one logged
    notice; outside a run, logging raises a FoxError.
    """

    def __init__(self, *, max_queue: int = 100, flush_secs: float = 1.0) -> None:
        if max_queue < 1:
            raise RecipeError(f"max_queue={max_queue!r}: a positive number of points is right")
        self._max_queue, self._flush_secs = max_queue, flush_secs
        self._lock = threading.Lock()
        self._points: dict[Track, list[Point]] = {}
        self._count = 0
        self._oldest = 0.0
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {state} · {self._count} unsent>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log(self, points: Sequence[Point]) -> None:
        """Take points of the current site."""
        if self._closed:
            raise RecipeError(f"{type(self).__name__} is closed: make a new one to log more")
        track = current().track
        if track is None:
            _notice_once()
            return
        with self._lock:
            if not self._count:
                self._oldest = time.monotonic()
                with _owing_lock:
                    _owing[self] = None
            self._points.setdefault(track, []).extend(points)
            self._count += len(points)
            due = self._count >= self._max_queue or time.monotonic() - self._oldest >= self._flush_secs
        if due:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        with self._lock:
            points, self._points, self._count = self._points, {}, 0
            with _owing_lock:
                _owing.pop(self, None)
        for track, batch in points.items():
            track(batch)

    def close(self) -> None:
        """Flush, and refuse what comes later; closing twice is fine."""
        self._closed = True
        self.flush()


class SummaryWriter(BaseWriter):
    """Logs scalars as torch's `SummaryWriter` does; the curves lie at the server, one series per site.

    There is no `log_dir`: the run's folder holds the event files, under `tensorboard/<site>/`.
    """

    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log one number: a float, or a numpy or torch value with one element.

        Raises:
            RecipeError: the value is not one number.
        """
        self.log([_point(tag, scalar_value, global_step, walltime)])

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log several numbers, each on the curve `main_tag/tag` (torch makes a run of each instead)."""
        now = time.time() if walltime is None else walltime
        self.log(
            [_point(f"{main_tag}/{tag}", value, global_step, now) for tag, value in tag_scalar_dict.items()]
        )


#: The same writer, under the name that says which tool it looks like.
TensorBoardWriter = SummaryWriter


def flush_all() -> None:
    """Hand on what waits in any writer of this process; called where a site's code ends."""
    with _owing_lock:
        writers = list(_owing)
    for writer in writers:
        writer.flush()


def _point(tag: str, value: Any, step: int | None, wall_time: float | None) -> Point:
    now = time.time() if wall_time is None else float(wall_time)
    return Point(str(tag), _number(tag, value), None if step is None else int(step), now)


def _number(tag: str, value: Any) -> float:
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        # Every array library has item() for one element, so none has to be known here; float() itself
        # makes torch warn of a tensor that requires a gradient.
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        shape = getattr(value, "shape", None)
        what = type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")
        raise RecipeError(f"add_scalar({tag!r}): {what} is not one number") from error


def _notice_once() -> None:
    if not _dropped_noticed.is_set():
        _dropped_noticed.set()
        logger.warning(
            "logged values are dropped: tracking is off here (FoxRecipe(tracking_type='tensorboard') is on)"
        )
