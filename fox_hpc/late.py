"""Late answers: a tree whose big arrays are read when they are needed, piece by piece."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import Any

#: Arrays of at least so many bytes are late; what is smaller is there at once.
LATE_BYTES = 2**20


class Late(ABC):
    """What a call with `late=True` gives for each site: the answer, whose big arrays are still at the site.

    `value` has the form of the answer. Its arrays have dtype, shape and memory, but of one of LATE_BYTES or
    more only the bytes that were loaded and not dropped mean anything. The site keeps its answer until
    `release`, or until this object is gone.
    """

    @property
    @abstractmethod
    def value(self) -> Any:
        """The answer; another one after AnswerRenewed."""

    @abstractmethod
    def load(self, address: int, size: int) -> Future[None]:
        """Fetch the bytes of a big array of `value` that lie at an address in memory, and maybe more.

        The future raises AnswerRenewed if the site's job was taken away and a new attempt has answered:
        nothing that was read before counts then. It raises a CallError if the answer cannot be had.
        """

    @abstractmethod
    def drop(self, address: int, size: int) -> None:
        """Give the memory of these bytes back; they can be loaded again."""

    @abstractmethod
    def release(self) -> None:
        """The answer is not needed any more."""


class Here(Late):
    """An answer that came whole."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._done: Future[None] = Future()
        self._done.set_result(None)

    def __repr__(self) -> str:
        return "<Late answer, here>"

    @property
    def value(self) -> Any:
        """See Late."""
        return self._value

    def load(self, address: int, size: int) -> Future[None]:
        """See Late."""
        return self._done

    def drop(self, address: int, size: int) -> None:
        """See Late; nothing is given back."""

    def release(self) -> None:
        """See Late."""
        self._value = None
