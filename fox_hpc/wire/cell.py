"""Cell: a named end of the wire, which calls and is called.

Every call has an id. An answer is kept here until the caller acknowledges it; a call that comes again is
answered from what was kept and never run twice. Open calls are sent again when their target is reached
again, so that a broken link loses nothing.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from ..call import Call, Fault, Pending, Reply, Wait, new_call_id, wait_aside
from ..errors import CodecError, WireError
from ..late import LATE_BYTES, Here
from . import codec
from .acks import Acks, acknowledged
from .answers import Incoming
from .call_codec import read_call, read_reply, write_call, write_reply
from .called import Called
from .envelope import Envelope
from .late_reply import LateReply
from .names import relay_cell, worker_cell
from .opened_blob import OpenedBlob
from .outgoing import Outgoing
from .parcel import Parcel
from .parcels import Parcels
from .pulls import PeerGone
from .sender import Post

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


class Cell(Called):
    """A named place that calls and is called; see the module for what it promises.

    Args:
        name: e.g. `server` or `site-1.app.worker.0`.
        post: sends frames towards a target.
        call_later: runs an action on the I/O thread after some seconds; returns what calls it off.
        attempt: put on every envelope that leaves.
        reachable: targets that can be called now; others wait for `open`.
        address: gives the cell of a target.
        parcels: lets big payloads travel by reference; without it they are sent within messages.
        wait: how the caller waits; the `wait_for` of an Io lets it run the loop meanwhile.
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
        parcels: Parcels | None = None,
        wait: Wait = wait_aside,
    ) -> None:
        super().__init__(name, post, attempt, parcels)
        self._call_later, self._address, self._wait = call_later, address, wait
        self._lock = threading.RLock()
        self._outgoing: dict[str, Outgoing] = {}
        self._acks = Acks(lambda id, to, frames: self._say("ack", id, to, frames), call_later)
        self._reachable: set[str] = set(reachable)
        self._lost: dict[str, Fault] = {}

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
        parcel = self._pack(payload, [self._address(site) for site in targets])
        # The arguments are in the parcel, which lets go of them in its time.
        bare = call.without_arguments()
        pending = [self._start_one(bare, site, parcel) for site in targets]
        parcel.seal()
        return pending

    def _start_one(self, call: Call, site: str, parcel: Parcel) -> Pending:
        out = Outgoing(new_call_id(), site, self._address(site), call, parcel)
        with self._lock:
            lost = self._lost.get(site)
            if lost is None:
                self._outgoing[out.id] = out
                if site in self._reachable:
                    self._dispatch(out)
        if lost is not None:
            out.fail(lost)
        return Pending(site, out.id, out.future, self._wait)

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
            self._end(out, fault)

    def abort(self) -> None:
        """Give up every open call."""
        with self._lock:
            ids = list(self._outgoing)
        for id in ids:
            self._give_up(id, Fault("cancelled", message="the run was cancelled"))

    def _dispatch(self, out: Outgoing) -> None:
        if out.call.timeout is not None and out.stop_timer is None:
            # The timer knows the id and not the call, whose arguments it would keep alive.
            id, fault = out.id, Fault("timeout", timeout_s=out.call.timeout)
            out.stop_timer = self._call_later(out.call.timeout, lambda: self._give_up(id, fault))
        self._send_parcel("call", out.id, out.target, out.parcel)

    def _give_up(self, id: str, fault: Fault) -> None:
        out = self._pop(id)
        if out is not None:
            # The far side first: what the future's owner does when it fails may take its time.
            self._say("cancel", id, out.target)
            self._end(out, fault)

    def _pop(self, id: str) -> Outgoing | None:
        with self._lock:
            return self._outgoing.pop(id, None)

    def _end(self, out: Outgoing, fault: Fault) -> None:
        if out.fetching is not None and self._parcels is not None:
            self._parcels.drop(out.target, out.fetching)
        out.fail(fault)

    # What comes in, on the I/O thread.

    def deliver(self, head: Envelope, frames: list[Any]) -> None:
        """Take a message of the lane `fox/call`; `frames` are those behind the envelope."""
        if head.blob and self._is_stale(head, frames):
            return
        if head.kind == "call":
            self._take_call(head, frames)
        elif head.kind == "reply":
            self._take_reply(head, frames)
        elif head.kind == "ack":
            for id in acknowledged(head.id, frames):
                self._answers.acknowledged(id, head.origin)
        elif head.kind == "cancel":
            self._answers.cancel(head.id, head.origin)

    def _take_reply(self, head: Envelope, frames: list[Any]) -> None:
        out = self._outgoing.get(head.id)
        if out is not None and head.origin != out.target:
            sentence = f"{head.origin} answers a call to {out.target}"
            self.refusals.note("answer of another", head.origin, sentence)
        elif out is not None and head.blob and out.call.late:
            self._take_late(head, frames, out)
        elif out is not None and head.blob:
            id = self._fetch(
                head,
                frames,
                lambda whole: self._answered(head, whole),
                lambda why: self._unanswered(head, why),
            )
            out.fetching = id
        else:
            self._answered(head, frames)

    def _answered(self, head: Envelope, frames: list[Any]) -> None:
        out = self._pop(head.id)
        # Acknowledged even if nobody waits for it: the far side need not keep it any longer.
        self._acks.note(head.id, head.origin, at_once=bool(head.blob))
        if out is not None:
            try:
                reply = read_reply(frames)
            except CodecError as error:
                reply = Reply(fault=Fault.from_exception(error))
            if reply.fault is not None:
                out.fail(reply.fault)
            else:
                out.settle(value=Here(reply.value) if out.call.late else reply.value)

    def _take_late(self, head: Envelope, frames: list[Any], out: Outgoing) -> None:
        """Fetch of an answer what its form needs; the rest when it is read."""
        parcels = self._parcels

        def begun(blob: OpenedBlob) -> None:
            sizes = blob.plan.sizes
            now = {number for number, size in enumerate(sizes) if size < LATE_BYTES}
            try:
                copied = codec.frames_of_bytes(blob.frames()[0])
            except WireError as error:
                self._unanswered(head, error)
                return
            now |= {number for number in copied if 0 < number < len(sizes)}
            assert parcels is not None
            parcels.need(out.target, blob, blob.chunks_of(now), lambda: self._here(head, blob))

        try:
            if parcels is None:
                raise WireError(f"{self!r} takes no blobs")
            out.fetching = parcels.take_up(out.target, frames, begun, lambda why: self._unanswered(head, why))
        except WireError as error:
            self._unanswered(head, error)

    def _here(self, head: Envelope, blob: OpenedBlob) -> None:
        out = self._outgoing.get(head.id)
        try:
            reply = read_reply(list(blob.frames()))
        except CodecError as error:
            reply = Reply(fault=Fault.from_exception(error))
        if reply.fault is not None:
            self._answered(head, write_reply(reply))
        elif out is not None:
            late = out.late() if out.late is not None else None
            if late is None:
                late = self._make_late(out)
            late.renew(blob, reply.value)
            if out.stop_timer is not None:
                out.stop_timer()
            if not out.future.done():
                out.future.set_result(late)
            # The answer is its owner's alone: when he lets go of it, it is released.
            out.future = Future()
            out.future.cancel()

    def _make_late(self, out: Outgoing) -> LateReply:
        parcels, target, id = self._parcels, out.target, out.id
        assert parcels is not None

        def release() -> None:
            gone = self._pop(id)
            if gone is not None:
                self._say("ack", id, target)
                self._end(gone, Fault("cancelled", message="its answer was released"))

        late = LateReply(lambda blob, numbers, done: parcels.need(target, blob, numbers, done), release)
        out.late = weakref.ref(late)
        return late

    def _unanswered(self, head: Envelope, why: WireError) -> None:
        if isinstance(why, PeerGone):
            # The call stays open: the site's next attempt gets it, or the site is lost and the call with it.
            return
        out = self._pop(head.id)
        self._say("ack", head.id, head.origin)
        if out is not None:
            self._end(out, Fault.from_exception(why))
