"""Called: the side of a cell that is called. It runs nothing: calls wait until somebody takes them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import Any

from ..call import Fault, Reply, Wait, wait_aside
from ..errors import BlobError, CodecError, WireError
from .answers import Answer, Answers, Arrivals, Incoming
from .call_codec import read_call, write_reply
from .envelope import Envelope
from .parcel import Parcel
from .parcels import Parcels
from .sender import Post, Sender, Way


class Called(Sender):
    """A named place that is called; see Cell for the arguments."""

    def __init__(self, name: str, post: Post, attempt: int, parcels: Parcels | None) -> None:
        super().__init__(name, post, attempt, parcels)
        self._inbox: deque[Incoming | None] = deque()
        # Entered by itself, which takes half as many steps.
        self._came_lock = threading.RLock()
        self._came = threading.Condition(self._came_lock)
        self._answers, self._arrivals = Answers(), Arrivals()
        #: Whoever passes messages on has seen that calls are answered here: the first answer shows it.
        self._shown = False

    def _take_call(self, head: Envelope, frames: list[Any]) -> None:
        found = self._answers.take(head.id, head.origin, frames)
        if isinstance(found, Answer):
            self._send_answer(found)
        elif found is not None:
            if self._arrivals.passes(found, whole=not head.blob):
                self._put(found)
            elif head.blob:
                self._fetch(
                    head,
                    frames,
                    lambda whole: self._arrived(found, whole),
                    lambda why: self._never(found, why),
                )
            else:
                self._arrived(found, frames)

    def _arrived(self, incoming: Incoming, frames: list[Any]) -> None:
        incoming.frames = frames
        for one in self._arrivals.here(incoming):
            self._put(one)

    def _put(self, incoming: Incoming | None) -> None:
        self._inbox.append(incoming)
        with self._came_lock:
            self._came.notify()

    def _never(self, incoming: Incoming, why: WireError) -> None:
        self.reply(incoming, Reply(fault=Fault.from_exception(why)))
        self._arrived(incoming, [])

    def take(self, timeout: float | None = None, wait: Wait = wait_aside) -> Incoming | None:
        """Wait for the next call to run; None when the cell was stopped.

        Calls that were cancelled or answered meanwhile, or that cannot be read, are not given. One thread
        at a time takes.

        Args:
            wait: how; by the Io's `wait_for` this thread may run the I/O loop meanwhile.

        Raises:
            queue.Empty: none came in time.
        """
        while (incoming := self._next(timeout, wait)) is not None:
            if not self._answers.wanted(incoming):
                continue
            try:
                incoming.call = read_call(incoming.frames)
            except CodecError as error:
                self.reply(incoming, Reply(fault=Fault.from_exception(error)))
            else:
                return incoming
        return None

    def _next(self, timeout: float | None, wait: Wait) -> Incoming | None:
        if not wait(self._came, lambda: bool(self._inbox), timeout):
            raise queue.Empty
        return self._inbox.popleft()

    def running(self) -> list[Incoming]:
        """Give the calls that came and were not answered."""
        return self._answers.running()

    @property
    def kept(self) -> int:
        """How many answers wait for their acknowledgement."""
        return len(self._answers.kept())

    @property
    def keeps_big(self) -> bool:
        """Tell whether one of them travels by reference."""
        return any(answer.parcel.blob is not None for answer in self._answers.kept())

    def reply(self, incoming: Incoming, reply: Reply) -> None:
        """Answer a call; the answer is kept until the caller has it. The first answer counts.

        A value that cannot travel becomes a fault.
        """
        self.reply_encoded(incoming, write_reply(reply))

    def reply_encoded(self, incoming: Incoming, payload: list[Any]) -> None:
        """Like `reply`, with the frames that `write_reply` made."""
        # Whoever ran the call may hold on to it until the next one comes: not to its arguments.
        incoming.call, incoming.frames = incoming.call.without_arguments(), []
        parcel = self._parcel(payload, incoming.origin)
        answer = Answer(incoming.id, incoming.origin, parcel)
        big = parcel.blob is not None
        if not big:
            parcel.snapshot()
        if self._answers.answer(incoming, answer):
            self._send_answer(answer)
            if big:
                # Told of first: its first chunks leave while the others are being sealed.
                parcel.snapshot()
        else:
            parcel.close()

    def _parcel(self, payload: list[Any], target: str) -> Parcel:
        try:
            return self._pack(payload, [target])
        except BlobError as error:
            return self._pack(write_reply(Reply(fault=Fault.from_exception(error))), [target])

    def _send_answer(self, answer: Answer, *, short: bool = True) -> None:
        target = answer.target
        message = self._message("reply", answer.id, target, answer.parcel)
        if message is not None:
            self._send(target, message, self._way_of(target, message) if short and self._shown else Way.LINK)
        self._shown = True

    def resend_kept(self, target: str = "") -> None:
        """Send the answers again that nobody acknowledged, over the link; all, or those to one cell."""
        self._shown = False
        for answer in self._answers.kept():
            if target in ("", answer.target):
                self._send_answer(answer, short=False)

    def stop(self) -> None:
        """Let `take` return None once it has given what is there."""
        self._put(None)
