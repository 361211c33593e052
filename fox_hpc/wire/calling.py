"""Calling: the side of a cell that calls. A call is open until its answer has come, or it is given up.

Small messages go the short way, over the data connection, once there is one. Calls to one cell run in the
order in which they were made, and only on one way that order is kept: so none goes the short way while one
that went over the link is open, and one that takes the link is preceded there by those that went the short
way. See ADR 0035.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ..call import Call, Fault, Pending, Wait, new_call_id, wait_aside
from .acks import Acks
from .call_codec import write_call
from .called import Called
from .names import worker_cell
from .outgoing import Outgoing
from .parcel import Parcel
from .parcels import Parcels
from .sender import Post, Way


class Calling(Called):
    """A named place that calls; see Cell for what it promises.

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
        #: How many open calls went each way to each target; the way is the index.
        self._went: tuple[dict[str, int], dict[str, int]] = (defaultdict(int), defaultdict(int))
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
        cells = [self._address(site) for site in targets]
        parcel = self._pack(payload, cells)
        # The arguments are in the parcel, which lets go of them in its time.
        bare = call.without_arguments()
        pending = [
            self._start_one(bare, site, cell, parcel) for site, cell in zip(targets, cells, strict=True)
        ]
        parcel.seal()
        return pending

    def _start_one(self, call: Call, site: str, cell: str, parcel: Parcel) -> Pending:
        out = Outgoing(new_call_id(), site, cell, call, parcel)
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
                self._dispatch(out, short=False)

    def send_again(self, target: str) -> None:
        """See Sender."""
        with self._lock:
            sent = [out for out in self._outgoing.values() if out.target == target and out.way is not None]
            for out in sent:
                self._dispatch(out, short=False)
        self.resend_kept(target)

    def _precede(self, later: Outgoing) -> None:
        """Say by the link what went the short way to the same cell: a later call must not overtake it."""
        if self._went[Way.SHORT][later.target]:
            for out in list(self._outgoing.values()):
                if out is later:
                    return
                if out.target == later.target and out.way is Way.SHORT:
                    self._dispatch(out, short=False)

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
                self._pop(out.id)
        for out in gone:
            self._end(out, fault)

    def abort(self) -> None:
        """Give up every open call."""
        with self._lock:
            ids = list(self._outgoing)
        for id in ids:
            self._give_up(id, Fault("cancelled", message="the run was cancelled"))

    def _dispatch(self, out: Outgoing, *, short: bool = True) -> None:
        if out.call.timeout is not None and out.stop_timer is None:
            # The timer knows the id and not the call, whose arguments it would keep alive.
            id, fault = out.id, Fault("timeout", timeout_s=out.call.timeout)
            out.stop_timer = self._call_later(out.call.timeout, lambda: self._give_up(id, fault))
        message = self._message("call", out.id, out.target, out.parcel)
        short = short and not self._went[Way.LINK][out.target]
        way = self._way_of(out.target, message) if short else Way.LINK
        # Noted first: should the connection break with this message, what went over it is sent again.
        self._note_way(out, way)
        if way is Way.LINK:
            self._precede(out)
        if message is not None:
            self._send(out.target, message, way)

    def _note_way(self, out: Outgoing, way: Way) -> None:
        if out.way is not None:
            self._went[out.way][out.target] -= 1
        out.way = way
        self._went[way][out.target] += 1

    def _give_up(self, id: str, fault: Fault) -> None:
        out = self._pop(id)
        if out is not None:
            # The far side first: what the future's owner does when it fails may take its time.
            self._say("cancel", id, out.target, short=out.way is Way.SHORT)
            self._end(out, fault)

    def _pop(self, id: str) -> Outgoing | None:
        with self._lock:
            out = self._outgoing.pop(id, None)
            if out is not None and out.way is not None:
                self._went[out.way][out.target] -= 1
            return out

    def _end(self, out: Outgoing, fault: Fault) -> None:
        if out.fetching is not None and self._parcels is not None:
            self._parcels.drop(out.target, out.fetching)
        out.fail(fault)
