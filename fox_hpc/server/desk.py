"""SiteDesk: the server's end of the wire. Takes what relays and workers say, and knows who can be called."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from ..call import Call, Fault, Reply
from ..errors import NotAllowed, WireError
from ..metric import Point
from ..wire import channel, codec, envelope
from ..wire.cell import Cell, relay_cell
from ..wire.envelope import Envelope
from ..wire.link import Link

log = logging.getLogger(__name__)


class News(msgspec.Struct):
    """What a relay tells of one site's job; the payload of an `event`."""

    site: str
    scheduler: str
    job_id: str
    attempts: int
    state: str
    ready: bool
    reason: str
    nodes: str
    exit_code: int | None
    log: str
    refused: str
    final: bool
    stderr_tail: str


class Board(Protocol):
    """Where the desk puts what it learns; the controller is one."""

    def change_site(self, site: str, **fields: Any) -> None:
        """Set fields of one site's record."""

    def track(self, site: str, points: list[Point], /) -> None:
        """Take points of metrics."""


class SiteDesk:
    """Handles the links of the relays for one run.

    A site can be called from its worker's `ready` on; from its job's end on, calls to it fail.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], None]], Callable[[], None]]) -> None:
        self.cell = Cell("server", self._post, call_later)
        self.board: Board | None = None
        self.refused: dict[str, str] = {}
        self.on_refused: Callable[[str, str], None] | None = None
        self._link: Link | None = None
        self._relay_of: dict[str, str] = {}
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        self._finishing = ""

    def attach(self, link: Link) -> None:
        """Use this listening link."""
        self._link = link

    def expect(self, site: str, relay: str) -> None:
        """A relay of that name serves the site."""
        self._relay_of[site] = relay

    def serve(self, answer: Callable[[Call], Any]) -> None:
        """Run the calls that sites make, on this thread, until the cell is stopped."""
        while (incoming := self.cell.take()) is not None:
            try:
                reply = Reply(answer(incoming.call))
            except Exception as error:
                reply = Reply(fault=Fault.from_exception(error))
            self.cell.reply(incoming, reply)

    def finish(self, *, cancel: bool = False) -> None:
        """Ask every site to end, or its job to be cancelled; a relay that joins later is asked then."""
        self._finishing = "cancel" if cancel else "finish"
        for site in self._relay_of:
            if site not in self._ended:
                head = envelope.seal(
                    "shutdown",
                    channel.WORKER,
                    id="cancel" if cancel else "",
                    origin="server",
                    target=relay_cell(site),
                )
                self._post(relay_cell(site), [head])

    def wait_ended(self, timeout: float) -> bool:
        """Wait until every site's last job has ended; tell whether all have."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._ended) == len(self._relay_of), timeout)

    def _post(self, target: str, frames: list[Any], /) -> None:
        relay = self._relay_of.get(target.partition(".")[0])
        if self._link is not None and relay is not None:
            self._link.send(relay, frames)

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        try:
            head = envelope.read(frames[0])
            self._check(head, peer)
            self._take(head, frames[1:])
        except WireError as error:
            log.warning("a message from %s is dropped: %s", peer, error)

    def _check(self, head: Envelope, peer: str) -> None:
        site = head.origin.partition(".")[0]
        if head.origin != peer and self._relay_of.get(site) != peer:
            raise NotAllowed(f"{peer} speaks for {head.origin}")

    def _take(self, head: Envelope, frames: list[Any]) -> None:
        site = head.origin.partition(".")[0]
        if head.channel == channel.CALL:
            self.cell.deliver(head, frames)
        elif head.kind == "ready":
            self._tell(site, ready=True)
            self.cell.open(site)
        elif head.kind == "join" and self._finishing:
            self.finish(cancel=self._finishing == "cancel")
        elif head.kind == "event":
            self._event(msgspec.convert(codec.decode(frames), News))
        elif head.kind == "log" and self.board is not None:
            self.board.track(site, [Point(*row) for row in codec.decode(frames)])

    def _event(self, news: News) -> None:
        site = news.site
        if news.refused:
            self.refused[site] = news.refused
        shown = {name: getattr(news, name) for name in _SHOWN}
        if news.final:
            # Replies that were on the way come before this on the same link: what is open now is lost.
            fault = Fault(
                "lost",
                message=news.reason,
                job_id=news.job_id,
                state=news.state,
                exit_code=news.exit_code,
                stderr_tail=news.stderr_tail,
            )
            self.cell.lose(site, fault)
        elif not news.ready:
            self.cell.shut(site)
        elif not self.cell.is_open(site):
            self.cell.open(site)
        self._tell(site, **shown)
        with self._changed:
            if news.final:
                self._ended.add(site)
            self._changed.notify_all()
        if news.refused and self.on_refused is not None:
            self.on_refused(site, news.refused)

    def _tell(self, site: str, **fields: Any) -> None:
        if self.board is not None:
            self.board.change_site(site, **fields)

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler; what is open is sent again when a relay's sites are ready again."""
        if not up:
            for site, relay in self._relay_of.items():
                if relay == peer:
                    self.cell.shut(site)


_SHOWN = ("scheduler", "job_id", "attempts", "state", "ready", "reason", "nodes", "exit_code", "log")
