"""Receivers: where the points of all sites end, at the server."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import MissingExtra, RecipeError
from ..metric import Point

#: The most series that a History keeps; a run with more shows the first ones in its table.
MOST_SERIES = 10_000


class Receiver(Protocol):
    """Takes points as they come in.

    `receive` may be called from any thread, keeps the order of one site's points, and returns when a
    reader of the receiver's output can see them. No call comes after `close`.
    """

    def receive(self, site: str, points: Sequence[Point]) -> None:
        """Take some points of one site."""

    def close(self) -> None:
        """Write what is left and let go of files."""


class TensorBoardReceiver:
    """Writes TensorBoard event files, one folder per site, made when its first point comes.

    A value is stored as a 32-bit float, as TensorBoard does; NaN and infinities stay what they are.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._open, self._event = _event_format()
        self._files: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<TensorBoardReceiver {self.folder} · {len(self._files)} sites>"

    def receive(self, site: str, points: Sequence[Point]) -> None:
        """Append the points to the site's event file."""
        with self._lock:
            file = self._files.get(site)
            if file is None:
                file = self._files[site] = self._open(self.folder / site)
            for point in points:
                file.write(self._event(point))
            file.flush()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()


class History:
    """Keeps the last `limit` points of each curve, for tables."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._series: dict[tuple[str, str], deque[Point]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<History {len(self._series)} series>"

    def receive(self, site: str, points: Sequence[Point]) -> None:
        """Remember the points."""
        with self._lock:
            for point in points:
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

    def close(self) -> None:
        """Do nothing: the history stays readable after the run."""


_MAKERS: dict[str, Callable[[Path], Receiver]] = {"tensorboard": TensorBoardReceiver}

#: What `FoxRecipe(tracking_type=)` may be, besides None.
TRACKING_TYPES = tuple(_MAKERS)


def make_receivers(tracking_type: str | None, folder: str | os.PathLike[str]) -> list[Receiver]:
    """Make the receivers of a run in a folder of their own below the run folder `folder`.

    Raises:
        RecipeError: there is no such tracking type.
        MissingExtra: its package is not installed.
    """
    if tracking_type is None:
        return []
    if tracking_type not in _MAKERS:
        right = " or ".join(repr(name) for name in _MAKERS)
        raise RecipeError(f"tracking_type={tracking_type!r}: {right} or None is right")
    return [_MAKERS[tracking_type](Path(folder) / tracking_type)]


def _event_format() -> tuple[Callable[[Path], Any], Callable[[Point], bytes]]:
    """Meet tensorboard.

    Its EventFileWriter is not taken: that starts a thread per file, and imports TensorFlow where there
    is one. The record writer below it needs neither.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", "tensorboard", "tracking_type='tensorboard'") from error

    def open_file(folder: Path) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.0"
        writer = RecordWriter((folder / name).open("wb"))
        writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        return writer

    def encode(point: Point) -> bytes:
        value = Summary.Value(tag=point.tag, simple_value=point.value)
        event = Event(wall_time=point.wall_time, step=point.step or 0, summary=Summary(value=[value]))
        return bytes(event.SerializeToString())

    return open_file, encode
