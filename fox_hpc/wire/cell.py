"""Cell: a named end of the wire, which calls and is called.

Every call has an id. An answer is kept here until the caller acknowledges it; a call that comes again is
answered from what was kept and never run twice. Open calls are sent again when their target is reached
again, so that a broken link loses nothing.
"""

from __future__ import annotations

import logging
import weakref
from concurrent.futures import Future
from typing import Any

from ..call import Fault, Reply
from ..errors import CodecError, WireError
from ..late import LATE_BYTES, Here
from . import codec
from .acks import acknowledged
from .answers import Incoming
from .call_codec import read_call, read_reply, write_call, write_reply
from .calling import Calling
from .envelope import Envelope
from .late_reply import LateReply
from .names import relay_cell, worker_cell
from .opened_blob import OpenedBlob
from .outgoing import Outgoing
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


class Cell(Calling):
    """A named place that calls and is called; see Calling for the arguments."""

    # What comes in, on the I/O thread.

    def deliver(self, head: Envelope, frames: list[Any]) -> None:
        """See Sender."""
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
