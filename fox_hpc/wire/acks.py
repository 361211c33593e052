"""Acks: the word that answers have come, which lets the called side forget them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..errors import WireError

#: After one acknowledgement the next ones wait so long, and leave together.
TOGETHER_S = 0.05

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[str]).decode


class Acks:
    """Acknowledges answers: one by itself at once, many that come fast in few messages.

    One that is lost costs nothing but memory at the other end: the answer comes again, and is acknowledged
    again, when the link is mended.

    Args:
        say: sends an acknowledgement: an id, or "" and one frame of several, to a cell.
        call_later: runs an action on the I/O thread after some seconds.
    """

    def __init__(
        self,
        say: Callable[[str, str, list[Any]], None],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._say, self._call_later = say, call_later
        self._lock = threading.Lock()
        self._owed: dict[str, list[str]] = {}
        self._waits = False

    def note(self, id: str, target: str, *, at_once: bool = False) -> None:
        """An answer of that cell has come; from any thread.

        Args:
            at_once: much memory is held there until it hears of it.
        """
        with self._lock:
            waited = self._waits
            if waited and not at_once:
                self._owed.setdefault(target, []).append(id)
                return
            self._waits = True
        self._say(id, target, [])
        if not waited:
            self._call_later(TOGETHER_S, self._pay)

    def _pay(self) -> None:
        with self._lock:
            owed, self._owed = self._owed, {}
            self._waits = bool(owed)
        for target, ids in owed.items():
            self._say("", target, [_encode(ids)])
        if owed:
            self._call_later(TOGETHER_S, self._pay)


def acknowledged(id: str, frames: Sequence[Any]) -> list[str]:
    """Give the ids of the answers that an acknowledgement names.

    Raises:
        WireError: it is none.
    """
    if id:
        return [id]
    try:
        return _decode(frames[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError) as error:
        raise WireError(f"an acknowledgement cannot be read: {error}") from error
