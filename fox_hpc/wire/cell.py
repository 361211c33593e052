"""Cell: a named end of the wire, which calls and is called.

Every call has an id. An answer is kept here until the caller acknowledges it; a call that comes again is
answered from what was kept and never run twice. Open calls are sent again when their target is reached
again, so that a broken link loses nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any

from ..call import Call, Fault, Pending, Reply, new_call_id
from ..errors import CodecError, LinkClosed
from . import channel, envelope
from .answers import Answer, Answers, Incoming
from .call_codec import read_call, read_reply, write_call, write_reply
from .envelope import Envelope
from .names import relay_cell, worker_cell
from .refusals import Refusals

__all__ = [
    "Cell",
    "Incoming",
    "Post",
    "read_call",
    "read_reply",
    "relay_cell",
    "worker_cell",
    "write_call",
    "write_reply",
]

log = logging.getLogger(__name__)


#: How a cell sends: puts the frames on the link that leads to the target; never blocks.
Post = Callable[[str, list[Any]], None]


@dataclass(eq=False)
class Outgoing:
    """A call that this cell made and whose answer has not come."""

    id: str
    site: str
    call: Call
    payload: list[Any]
    future: Future[Any]
    stop_timer: Callable[[], None] | None = None


class Cell:
    """A named place that calls and is called; see the module for what it promises.

    Args:
        name: e.g. `server` or `site-1.app.worker.0`.
        post: sends frames towards a target.
        call_later: runs an action on the I/O thread after some seconds; returns what calls it off.
        attempt: put on every envelope that leaves.
        reachable: targets that can be called now; others wait for `open`.
        address: gives the cell of a target.
    """

    secure = True

    def __init__(
        self,
        name: str,
        post: Post,
        call_later: Callable[[float, Callable[[], None]], Callable[[], None]],
        *,
        attempt: int = 0,
        reachable: Sequence[str] = (),
        address: Callable[[str], str] = worker_cell,
    ) -> None:
        self.name, self.attempt = name, attempt
        self.inbox: queue.SimpleQueue[Incoming | None] = queue.SimpleQueue()
        self._post, self._call_later, self._address = post, call_later, address
        self._lock = threading.RLock()
        self._outgoing: dict[str, Outgoing] = {}
        self._reachable: set[str] = set(reachable)
        self._lost: dict[str, Fault] = {}
        self._answers, self.refusals = Answers(), Refusals()

    def __repr__(self) -> str:
        to_do, kept = len(self._answers.running()), self.kept
        return f"<Cell {self.name} · {len(self._outgoing)} open · {to_do} to do · {kept} kept>"

    # The caller's side; fits api.backend.Backend by shape.

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """Call the same function at several sites; arguments are encoded once.

        Raises:
            CodecError: an argument cannot travel; nothing was sent then.
        """
        return self.start_encoded(call, write_call(call), targets)

    def start_encoded(self, call: Call, payload: list[Any], targets: Sequence[str]) -> list[Pending]:
        """Like `start`, with the frames that `write_call` made."""
        return [self._start_one(call, site, payload) for site in targets]

    def _start_one(self, call: Call, site: str, payload: list[Any]) -> Pending:
        out = Outgoing(new_call_id(), site, call, payload, Future())
        with self._lock:
            lost = self._lost.get(site)
            if lost is None:
                self._outgoing[out.id] = out
                if site in self._reachable:
                    self._dispatch(out)
        if lost is not None:
            self._fail(out, lost)
        return Pending(site, out.id, out.future)

    def cancel(self, pending: Sequence[Pending]) -> None:
        """Give up calls: their futures raise CallCancelled now, and the far side is told."""
        for one in pending:
            self._give_up(one.call_id, Fault("cancelled"))

    def open(self, site: str) -> None:
        """A site can be reached (again): send what is open for it."""
        with self._lock:
            self._reachable.add(site)
            self._lost.pop(site, None)
            waiting = [out for out in self._outgoing.values() if out.site == site]
            for out in waiting:
                self._dispatch(out)

    def is_open(self, site: str) -> bool:
        """Tell whether calls to a site are sent now."""
        return site in self._reachable

    def shut(self, site: str) -> None:
        """A site cannot be reached now: calls to it wait."""
        with self._lock:
            self._reachable.discard(site)

    def lose(self, site: str, fault: Fault) -> None:
        """A site is gone for good: calls to it fail, open ones and later ones."""
        with self._lock:
            self._reachable.discard(site)
            self._lost[site] = fault
            gone = [out for out in self._outgoing.values() if out.site == site]
            for out in gone:
                del self._outgoing[out.id]
        for out in gone:
            self._fail(out, fault)

    def abort(self) -> None:
        """Give up every open call."""
        with self._lock:
            ids = list(self._outgoing)
        for id in ids:
            self._give_up(id, Fault("cancelled", message="the run was cancelled"))

    def _dispatch(self, out: Outgoing) -> None:
        target = self._address(out.site)
        if out.call.timeout is not None and out.stop_timer is None:
            # The timer knows the id and not the call, whose arguments it would keep alive.
            id, fault = out.id, Fault("timeout", timeout_s=out.call.timeout)
            out.stop_timer = self._call_later(out.call.timeout, lambda: self._give_up(id, fault))
        self._send(target, [self._head("call", out.id, target), *out.payload])

    def _give_up(self, id: str, fault: Fault) -> None:
        out = self._pop(id)
        if out is not None:
            # The far side first: what the future's owner does when it fails may take its time.
            self._say("cancel", id, self._address(out.site))
            self._fail(out, fault)

    def _pop(self, id: str, origin: str = "") -> Outgoing | None:
        with self._lock:
            out = self._outgoing.get(id)
            if out is not None and origin not in ("", self._address(out.site)):
                self.refusals.note("answer of another", origin, f"{origin} answers a call to {out.site}")
                return None
            return self._outgoing.pop(id, None)

    def _fail(self, out: Outgoing, fault: Fault) -> None:
        self._settle(out, error=fault.to_error(site=out.site, func=out.call.func, call_id=out.id))

    def _settle(self, out: Outgoing, *, value: Any = None, error: BaseException | None = None) -> None:
        if out.stop_timer is not None:
            out.stop_timer()
        try:
            if error is not None:
                out.future.set_exception(error)
            else:
                out.future.set_result(value)
        except InvalidStateError:
            log.debug("call %s was settled before", out.id)

    # What comes in, on the I/O thread.

    def deliver(self, head: Envelope, frames: list[Any]) -> None:
        """Take a message of the lane `fox/call`; `frames` are those behind the envelope."""
        if head.kind == "call":
            self._take_call(head, frames)
        elif head.kind == "reply":
            self._take_reply(head, frames)
        elif head.kind == "ack":
            self._answers.acknowledged(head.id, head.origin)
        elif head.kind == "cancel":
            self._answers.cancel(head.id, head.origin)

    def _take_call(self, head: Envelope, frames: list[Any]) -> None:
        found = self._answers.take(head.id, head.origin, frames)
        if isinstance(found, Incoming):
            self.inbox.put(found)
        elif found is not None:
            self._send(found.target, found.frames)

    def _take_reply(self, head: Envelope, frames: list[Any]) -> None:
        out = self._pop(head.id, head.origin)
        # Acknowledged even if nobody waits for it: the far side need not keep it any longer.
        self._say("ack", head.id, head.origin)
        if out is not None:
            try:
                reply = read_reply(frames)
            except CodecError as error:
                reply = Reply(fault=Fault.from_exception(error))
            if reply.fault is not None:
                self._fail(out, reply.fault)
            else:
                self._settle(out, value=reply.value)

    # The called side.

    def take(self, timeout: float | None = None) -> Incoming | None:
        """Wait for the next call to run; None when the cell was stopped.

        Calls that were cancelled or answered meanwhile, or that cannot be read, are not given.

        Raises:
            queue.Empty: none came in time.
        """
        while (incoming := self.inbox.get(timeout=timeout)) is not None:
            if not self._answers.wanted(incoming):
                continue
            try:
                incoming.call = read_call(incoming.frames)
            except CodecError as error:
                self.reply(incoming, Reply(fault=Fault.from_exception(error)))
            else:
                return incoming
        return None

    def running(self) -> list[Incoming]:
        """Give the calls that came and were not answered."""
        return self._answers.running()

    @property
    def kept(self) -> int:
        """How many answers wait for their acknowledgement."""
        return len(self._answers.kept())

    def reply(self, incoming: Incoming, reply: Reply) -> None:
        """Answer a call; the answer is kept until the caller has it. The first answer counts.

        A value that cannot travel becomes a fault.
        """
        self.reply_encoded(incoming, write_reply(reply))

    def reply_encoded(self, incoming: Incoming, payload: list[Any]) -> None:
        """Like `reply`, with the frames that `write_reply` made."""
        head = self._head("reply", incoming.id, incoming.origin)
        answer = Answer(incoming.origin, [head, *payload])
        if self._answers.answer(incoming, answer):
            self._send(answer.target, answer.frames)

    def resend_kept(self) -> None:
        """Send the answers again that nobody acknowledged; after a link came back."""
        for answer in self._answers.kept():
            self._send(answer.target, answer.frames)

    def stop(self) -> None:
        """Let `take` return None once it has given what is there."""
        self.inbox.put(None)

    def _say(self, kind: str, id: str, target: str) -> None:
        self._send(target, [self._head(kind, id, target)])

    def _head(self, kind: str, id: str, target: str) -> bytes:
        return envelope.seal(kind, channel.CALL, id=id, origin=self.name, target=target, attempt=self.attempt)

    def _send(self, target: str, frames: list[Any]) -> None:
        try:
            self._post(target, frames)
        except LinkClosed:
            log.debug("%r: the link is closed, a message to %s stays here", self, target)
