"""SiteDesk: the server's end of the wire. Takes what relays and workers say, and knows who can be called."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from ..call import Fault, Wait, wait_aside
from ..errors import VersionMismatch, WireError
from ..metric import read_batch
from ..wire import channel, codec, envelope, handshake
from ..wire.cell import Cell, relay_cell, worker_cell
from ..wire.envelope import Envelope
from ..wire.handshake import Join, Refuse, Welcome
from ..wire.keys import Keys
from ..wire.link import Link
from ..wire.names import site_of
from ..wire.parcels import Parcels
from ..wire.refusals import Refusals
from ..wire.session import Offer, accept_session
from .board import Board
from .lanes import Lanes
from .news import SHOWN, read_news
from .passing import Answer, Passing
from .waits import Waits

log = logging.getLogger(__name__)


class SiteDesk:
    """Handles the links of the relays for one run.

    A site can be called from its worker's `ready` on; from its job's end on, calls to it fail. A relay
    counts for nothing until it has joined this run, and speaks for its own sites only.

    Args:
        welcome: what relays are told that join.
        refusals: where what is not believed is counted.
        parcels, keys: let big payloads travel by reference, in sessions with the holder of the keys.
        wait: see Cell.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], Callable[[], None]],
        welcome: Welcome,
        refusals: Refusals | None = None,
        parcels: Parcels | None = None,
        keys: Keys | None = None,
        wait: Wait = wait_aside,
    ) -> None:
        self.cell = Cell("server", self._post, call_later, parcels=parcels, wait=wait)
        self._parcels, self._keys = parcels, keys
        if parcels is not None:
            # Not the cell itself: what comes is believed as on the link.
            parcels.listener = self
        self.welcome = welcome
        self.refusals = self.cell.refusals = refusals or self.cell.refusals
        self.board: Board | None = None
        self.refused: dict[str, str] = {}
        self.on_refused: Callable[[str, str], None] | None = None
        self._link: Link | None = None
        self._relay_of: dict[str, str] = {}
        #: Which place waits for which.
        self.waits = Waits()
        self._passing = Passing(self.cell, self._relay_of.__contains__, self.waits)
        self._joined: set[str] = set()
        self._met: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._ended: set[str] = set()
        self._over = False
        self.on_joined: Callable[[str, Join], None] | None = None
        self._changed = threading.Condition()
        self._finishing = ""
        self._lanes = Lanes()

    def attach(self, link: Link) -> None:
        """Use this listening link."""
        self._link = link

    def expect(self, site: str, relay: str) -> None:
        """A relay of that name serves the site."""
        self._relay_of[site] = relay

    def serve(self, answer: Answer) -> None:
        """Take the calls that sites make, on this thread, until the cell is stopped; see Passing."""
        self._passing.serve(answer)

    def finish(self, *, cancel: bool = False) -> None:
        """Ask every site to end, or its job to be cancelled; a relay that joins later is asked then."""
        self._finishing = "cancel" if cancel else "finish"
        for site in self._relay_of:
            if site not in self._ended:
                if not cancel:
                    # A call that nobody waits for may be on its way; the order to end must not overtake it.
                    self.cell.send_again(worker_cell(site))
                self._shut_down("cancel" if cancel else "", relay_cell(site))

    def wait_ended(self, timeout: float, *, met_only: bool = False) -> bool:
        """Wait until every site's last job has ended; tell whether all have.

        Args:
            met_only: sites whose relay never joined are not waited for.
        """
        with self._changed:
            wanted = self._met if met_only else set(self._relay_of)
            return self._changed.wait_for(lambda: wanted <= self._ended, timeout)

    def part(self) -> None:
        """Tell every relay that the run is over; also one that joins after this."""
        self._over = True
        for site in self._relay_of:
            self._shut_down("over", relay_cell(site))

    def expel(self, site: str, words: str) -> None:
        """A site may take part no more: calls to it fail, unless it joins again."""
        self.cell.lose(site, Fault("lost", message=words))
        self._tell(site, state="LOST", ready=False, reason=words)
        with self._changed:
            self._ended.add(site)
            self._changed.notify_all()

    def _shut_down(self, how: str, target: str) -> None:
        self._post(
            target, [envelope.seal("shutdown", channel.WORKER, id=how, origin="server", target=target)]
        )

    def _post(self, target: str, frames: list[Any], /) -> None:
        relay = self._relay_of.get(site_of(target))
        if self._link is not None and relay is not None:
            self._link.send(relay, frames)

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """See Handler."""
        try:
            head = envelope.read(frames[0])
            if head.kind == "join":
                self._join(link, peer, handshake.read(frames[1:], Join))
            elif self._believes(head, peer):
                self._take(head, frames[1:])
        except VersionMismatch as error:
            self._refuse(link, peer, "another version", str(error))
        except WireError as error:
            self.refusals.note("unreadable", peer, f"a message from {peer}: {error}")

    def came_from(self, cell: str, frames: list[Any]) -> None:
        """See parcels.Listener."""
        head = self.cell.read_from(cell, frames)
        if head is not None and self._believes(head, self._relay_of.get(site_of(cell), "")):
            self.cell.deliver(head, frames[1:])

    def broke(self, cell: str) -> None:
        """See parcels.Listener."""
        self.cell.send_again(cell)

    def _believes(self, head: Envelope, peer: str) -> bool:
        """Tell whether a relay may say this: after its join, for its own sites, in an attempt that is on."""
        if peer not in self._joined:
            log.debug("%s of %s came before its join", head.kind, peer)
            return False
        site = site_of(head.origin)
        newest = self._attempts.get(site, 0)
        kind = words = ""
        if self._relay_of.get(site) != peer:
            kind, words = "name of another", f"{peer} speaks for {head.origin}"
        elif head.target != "server":
            kind, words = "target out of reach", f"{head.origin} says {head.kind} to {head.target}"
        elif head.attempt and head.attempt < newest:
            words = (
                f"{head.kind} of {head.origin}, attempt {head.attempt}, comes after attempt {newest} began"
            )
            kind = "stale attempt"
        if kind:
            self.refusals.note(kind, f"{head.origin} {head.attempt}", words)
        return not kind

    def _join(self, link: Link, peer: str, join: Join) -> None:
        others = [site for site in join.sites if self._relay_of.get(site) != peer]
        if others or not join.sites:
            ours = ", ".join(self._relay_of)
            words = f"{peer} does not serve {', '.join(others) or 'any site'} in this run, which has {ours}"
            self._refuse(link, peer, "name of another", words)
        elif words := handshake.missing(join):
            self._refuse(link, peer, "cannot take part", words)
        else:
            head = envelope.seal("welcome", channel.WORKER, origin="server", target=peer)
            link.send(peer, [head, *handshake.write(self.welcome)])
            if join.run == self.welcome.run:
                self._let_in(peer, join)

    def _let_in(self, peer: str, join: Join) -> None:
        self._joined.add(peer)
        with self._changed:
            self._met.update(join.sites)
        if self.on_joined is not None:
            self.on_joined(peer, join)
        if self._over:
            self.part()
        elif self._finishing:
            self.finish(cancel=self._finishing == "cancel")

    def _refuse(self, link: Link, peer: str, kind: str, words: str) -> None:
        self.refusals.note(kind, peer, words)
        head = envelope.seal("refuse", channel.WORKER, origin="server", target=peer)
        link.send(peer, [head, *handshake.write(Refuse(words))])

    def _take(self, head: Envelope, frames: list[Any]) -> None:
        site = site_of(head.origin)
        if head.channel == channel.CALL:
            self.cell.deliver(head, frames)
        elif head.kind == "ready":
            self._note_attempt(site, head.attempt)
            self._meet(head.origin, codec.decode(frames))
            self._tell(site, ready=True)
            self.cell.open(site)
        elif head.kind == "event":
            self._event(site, codec.decode(frames))
        elif head.kind == "log" and self.board is not None:
            self._log(site, head, frames, self.board)

    def _log(self, site: str, head: Envelope, frames: list[Any], board: Board) -> None:
        batch = read_batch(frames)
        board.note_dropped(site, head.attempt, batch.dropped)
        if self._lanes.is_next(site, head.attempt, head.id):
            board.track(site, batch.data)
            self._lanes.took(site)
        id, attempt = self._lanes.last(site), head.attempt
        ack = envelope.seal(
            "ack", channel.METRICS, id=id, origin="server", target=head.origin, attempt=attempt
        )
        self._post(head.origin, [ack])

    def _meet(self, cell: str, value: Any) -> None:
        if self._parcels is not None and self._keys is not None:
            try:
                offer = msgspec.convert(value["session"], Offer)
            except (msgspec.ValidationError, TypeError, LookupError) as error:
                raise WireError(f"{cell} offers no session: {error}") from error
            self._parcels.meet(cell, accept_session(offer, self._keys))

    def _event(self, site: str, value: Any) -> None:
        news = read_news(value)
        if news.site != site:
            self.refusals.note("name of another", site, f"the relay of {site} tells news of {news.site}")
            return
        if self._parcels is not None:
            # What the worker has said on the short way came before it ended, and counts.
            self._parcels.listen_to(worker_cell(site))
        self._note_attempt(site, news.attempts)
        if news.refused:
            self.refused[site] = news.refused
        if news.final:
            # Replies that were on the way have come before this: what is open now is lost.
            fault = Fault(
                "lost",
                message=news.reason,
                job_id=news.job_id,
                state=news.state,
                exit_code=news.exit_code,
                stderr_tail=news.stderr_tail,
            )
            self.cell.lose(site, fault)
            self._passing.forget(site)
            if self._parcels is not None:
                self._parcels.part(worker_cell(site))
        elif not news.ready:
            self.cell.shut(site)
        elif not self.cell.is_open(site):
            self.cell.open(site)
        self._tell(site, **{name: getattr(news, name) for name in SHOWN})
        with self._changed:
            (self._ended.add if news.final else self._ended.discard)(site)
            self._changed.notify_all()
        if news.refused and self.on_refused is not None:
            self.on_refused(site, news.refused)

    def _note_attempt(self, site: str, attempt: int) -> None:
        before = self._attempts.get(site, 0)
        self._attempts[site] = max(attempt, before)
        if before and attempt > before:
            self._passing.forget(site)

    def _tell(self, site: str, **fields: Any) -> None:
        if self.board is not None:
            self.board.change_site(site, **fields)

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """See Handler; what is open is sent again when a relay's sites are ready again."""
        self._joined.discard(peer)
        if not up:
            for site, relay in self._relay_of.items():
                if relay == peer:
                    self.cell.shut(site)
