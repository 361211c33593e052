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
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from ..call import Call, Fault, Pending, Reply, new_call_id
from ..errors import CodecError, LinkClosed
from . import channel, codec, envelope
from .envelope import Envelope

log = logging.getLogger(__name__)


def worker_cell(site: str, rank: int = 0) -> str:
    """Name the cell that runs a site's functions; the server's is `server`."""
    return "server" if site == "server" else f"{site}.app.worker.{rank}"


def relay_cell(site: str) -> str:
    """Name the relay's cell of a site."""
    return f"{site}.app"


class Post(Protocol):
    """How a cell sends: puts the frames on the link that leads to the target; never blocks."""

    def __call__(self, target: str, frames: list[Any], /) -> None: ...


@dataclass
class Outgoing:
    """A call that this cell made and whose answer has not come."""

    id: str
    site: str
    call: Call
    payload: list[Any]
    future: Future[Any]
    stop_timer: Callable[[], None] | None = None


@dataclass
class Incoming:
    """A call that came to this cell."""

    id: str
    origin: str
    call: Call
    frames: list[Any]
    cancelled: threading.Event = field(default_factory=threading.Event)


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
        self._running: dict[str, Incoming] = {}
        self._kept: dict[str, tuple[str, list[Any]]] = {}

    def __repr__(self) -> str:
        to_do, kept = len(self._running), len(self._kept)
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
            self._settle(out, error=lost.to_error(site=site, func=call.func, call_id=out.id))
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
            self._fail(out.id, fault)

    def abort(self) -> None:
        """Give up every open call."""
        with self._lock:
            ids = list(self._outgoing)
        for id in ids:
            self._give_up(id, Fault("cancelled", message="the run was cancelled"))

    def _dispatch(self, out: Outgoing) -> None:
        target = self._address(out.site)
        head = envelope.seal(
            "call", channel.CALL, id=out.id, origin=self.name, target=target, attempt=self.attempt
        )
        if out.call.timeout is not None and out.stop_timer is None:
            timeout = out.call.timeout
            fault = Fault("timeout", timeout_s=timeout)
            out.stop_timer = self._call_later(timeout, lambda: self._give_up(out.id, fault))
        self._send(target, [head, *out.payload])

    def _give_up(self, id: str, fault: Fault) -> None:
        out = self._fail(id, fault)
        if out is not None:
            self._say("cancel", id, self._address(out.site))

    def _fail(self, id: str, fault: Fault) -> Outgoing | None:
        with self._lock:
            out = self._outgoing.pop(id, None)
        if out is not None:
            self._settle(out, error=fault.to_error(site=out.site, func=out.call.func, call_id=id))
        return out

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
            with self._lock:
                self._kept.pop(head.id, None)
        elif head.kind == "cancel":
            with self._lock:
                running = self._running.get(head.id)
            if running is not None:
                running.cancelled.set()

    def _take_call(self, head: Envelope, frames: list[Any]) -> None:
        with self._lock:
            kept = self._kept.get(head.id)
            if kept is None and head.id not in self._running:
                incoming = Incoming(head.id, head.origin, Call(""), frames)
                self._running[head.id] = incoming
                self.inbox.put(incoming)
        if kept is not None:
            self._send(*kept)

    def _take_reply(self, head: Envelope, frames: list[Any]) -> None:
        with self._lock:
            out = self._outgoing.pop(head.id, None)
        self._say("ack", head.id, head.origin)
        if out is not None:
            try:
                reply = read_reply(frames)
            except CodecError as error:
                reply = Reply(fault=Fault.from_exception(error))
            where = {"site": out.site, "func": out.call.func, "call_id": out.id}
            raised = reply.fault.to_error(**where) if reply.fault else None
            self._settle(out, value=reply.value, error=raised)

    # The called side.

    def take(self, timeout: float | None = None) -> Incoming | None:
        """Wait for the next call to run; None when the cell was stopped.

        Raises:
            queue.Empty: none came in time.
        """
        while (incoming := self.inbox.get(timeout=timeout)) is not None:
            try:
                incoming.call = read_call(incoming.frames)
            except CodecError as error:
                self.reply(incoming, Reply(fault=Fault.from_exception(error)))
            else:
                return incoming
        return None

    def running(self) -> list[Incoming]:
        """Give the calls that came and were not answered."""
        with self._lock:
            return list(self._running.values())

    @property
    def kept(self) -> int:
        """How many answers wait for their acknowledgement."""
        return len(self._kept)

    def reply(self, incoming: Incoming, reply: Reply) -> None:
        """Answer a call; the answer is kept until the caller has it.

        A value that cannot travel becomes a fault.
        """
        payload = write_reply(reply)
        head = envelope.seal(
            "reply",
            channel.CALL,
            id=incoming.id,
            origin=self.name,
            target=incoming.origin,
            attempt=self.attempt,
        )
        answer = (incoming.origin, [head, *payload])
        with self._lock:
            self._running.pop(incoming.id, None)
            if not incoming.cancelled.is_set():
                self._kept[incoming.id] = answer
        if not incoming.cancelled.is_set():
            self._send(*answer)

    def resend_kept(self) -> None:
        """Send the answers again that nobody acknowledged; after a link came back."""
        with self._lock:
            kept = list(self._kept.values())
        for answer in kept:
            self._send(*answer)

    def stop(self) -> None:
        """Let `take` return None once it has given what is there."""
        self.inbox.put(None)

    def _say(self, kind: str, id: str, target: str) -> None:
        head = envelope.seal(kind, channel.CALL, id=id, origin=self.name, target=target, attempt=self.attempt)
        self._send(target, [head])

    def _send(self, target: str, frames: list[Any]) -> None:
        try:
            self._post(target, frames)
        except LinkClosed:
            log.debug("%r: the link is closed, a message to %s stays here", self, target)


def write_call(call: Call) -> list[Any]:
    """Encode what the target needs of a call; raises CodecError with the argument's path."""
    head = [call.func, call.caller, call.ranks]
    return codec.encode({"head": head, "args": list(call.args), "kwargs": dict(call.kwargs)})


def read_call(frames: list[Any]) -> Call:
    """Decode a call's frames.

    Raises:
        CodecError: they are not a call, or hold a class that is not registered here.
    """
    value = codec.decode(frames)
    func, caller, ranks = value["head"]
    return Call(func, tuple(value["args"]), value["kwargs"], caller=caller, ranks=ranks)


def write_reply(reply: Reply) -> list[Any]:
    """Encode a reply; arrays are copied, since the function's owner may go on to change them."""
    if reply.fault is None:
        try:
            return [bytes(frame) for frame in codec.encode({"fault": None, "result": reply.value})]
        except CodecError as error:
            reply = Reply(fault=Fault.from_exception(error))
    assert reply.fault is not None
    fault = msgspec.to_builtins(reply.fault)
    return codec.encode({"fault": fault, "result": None})


def read_reply(frames: list[Any]) -> Reply:
    """Decode a reply's frames; raises CodecError as `read_call` does."""
    value = codec.decode(frames)
    fault = value["fault"]
    return Reply(value["result"], msgspec.convert(fault, Fault) if fault is not None else None)
