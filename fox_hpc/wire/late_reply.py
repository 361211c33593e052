"""LateReply: an answer whose big arrays are fetched from the site as they are read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from ..errors import AnswerRenewed
from ..late import Late
from .opened_blob import OpenedBlob

#: Fetches chunks of a blob, and says when they are there; from any thread.
Need = Callable[[OpenedBlob, list[int], Callable[[], None]], None]

_AGAIN = "the site's job was taken away and a new attempt has answered: its answer must be read anew"


class LateReply(Late):
    """See Late; made and renewed on the I/O thread, read on any.

    Args:
        release: called once, when nobody needs the answer any more.
    """

    def __init__(self, need: Need, release: Callable[[], None]) -> None:
        self._need, self._release = need, release
        self._lock = threading.Lock()
        self._blob: OpenedBlob | None = None
        self._value: Any = None
        self._waiting: set[Future[None]] = set()
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Late answer, {self._blob!r}>"

    def __del__(self) -> None:
        self.release()

    @property
    def value(self) -> Any:
        """See Late."""
        with self._lock:
            return self._value

    def load(self, address: int, size: int) -> Future[None]:
        """See Late."""
        future: Future[None] = Future()
        with self._lock:
            blob, error = self._blob, self._error
            if error is None:
                self._waiting.add(future)
        if error is not None:
            future.set_exception(error)
        elif blob is None or (numbers := blob.chunks_at(address, size)) is None:
            self._settle(future, AnswerRenewed(_AGAIN))
        else:
            self._need(blob, numbers, lambda: self._settle(future))
        return future

    def drop(self, address: int, size: int) -> None:
        """See Late."""
        with self._lock:
            if self._blob is not None and (numbers := self._blob.chunks_at(address, size)) is not None:
                self._blob.drop(numbers)

    def release(self) -> None:
        """See Late."""
        with self._lock:
            release, self._release = self._release, lambda: None
            self._blob = self._value = None
        release()

    # On the I/O thread.

    def renew(self, blob: OpenedBlob, value: Any) -> None:
        """The answer is here, or another one in its place."""
        with self._lock:
            again = self._blob is not None
            self._blob, self._value = blob, value
            waiting, self._waiting = self._waiting, set()
        error = AnswerRenewed(_AGAIN)
        for future in waiting if again else ():
            self._settle(future, error)

    def fail(self, error: BaseException) -> None:
        """The answer cannot be had any more."""
        with self._lock:
            self._error = error
            waiting, self._waiting = self._waiting, set()
        for future in waiting:
            self._settle(future, error)

    def is_of(self, id: bytes) -> bool:
        """Tell whether it is that blob."""
        blob = self._blob
        return blob is not None and blob.id == id

    def _settle(self, future: Future[None], error: BaseException | None = None) -> None:
        with self._lock:
            self._waiting.discard(future)
        with suppress(InvalidStateError):
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
