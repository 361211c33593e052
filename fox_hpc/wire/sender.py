"""Sender: what both sides of a cell send with, and how they fetch what was referred to."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

from ..errors import LinkClosed, WireError
from . import channel, envelope
from .data_message import is_small
from .envelope import Envelope
from .parcel import Pack, Parcel
from .parcels import Parcels
from .refusals import Refusals

log = logging.getLogger(__name__)

#: How a cell sends: puts the frames on the link that leads to the target; never blocks.
Post = Callable[[str, list[Any]], None]


class Way(IntEnum):
    """How a message goes to another cell."""

    #: Over the link.
    LINK = 0
    #: Over the data connection, unread by who passes it on.
    SHORT = 1


class Sender(ABC):
    """A named end of the wire; see Cell for the arguments."""

    def __init__(self, name: str, post: Post, attempt: int, parcels: Parcels | None) -> None:
        self.name, self.attempt = name, attempt
        self._post, self._parcels = post, parcels
        self._pack: Pack = parcels.pack if parcels is not None else Parcel
        #: What was not believed.
        self.refusals = Refusals()
        if parcels is not None:
            parcels.listener = self

    def came_from(self, cell: str, frames: list[Any]) -> None:
        """See parcels.Listener."""
        head = self.read_from(cell, frames)
        if head is not None:
            self.deliver(head, frames[1:])

    def broke(self, cell: str) -> None:
        """See parcels.Listener."""
        self.send_again(cell)

    def read_from(self, cell: str, frames: list[Any]) -> Envelope | None:
        """Read what came the short way from a cell: None if it may not come on it."""
        try:
            head = envelope.read(frames[0])
        except WireError as error:
            self.refusals.note("unreadable", cell, f"a message from {cell}: {error}")
            return None
        if head.origin != cell or head.channel != channel.CALL:
            sentence = f"{cell} says {head.kind} as {head.origin} on its data connection"
            self.refusals.note("name of another", cell, sentence)
            return None
        return head

    @abstractmethod
    def deliver(self, head: Envelope, frames: list[Any]) -> None:
        """Take a message of the lane `fox/call`; `frames` are those behind the envelope."""

    @abstractmethod
    def send_again(self, target: str) -> None:
        """What went the short way to a cell, or came by it, may be lost: send by the link what is open."""

    def _is_stale(self, head: Envelope, frames: list[Any]) -> bool:
        """Tell whether a blob is meant for another attempt, or comes of one; what is open is sent again.

        A call may reach a new attempt before the server has heard that it is there: it will, and then it
        sends every open call anew.
        """
        try:
            stale = self._parcels is not None and self._parcels.is_of_another_session(head.origin, frames)
        except WireError:
            return False
        if stale:
            sentence = f"a {head.kind} of {head.origin} with bytes of another session is left alone"
            self.refusals.note("another session", head.origin, sentence)
        return stale

    def _fetch(
        self,
        head: Envelope,
        frames: list[Any],
        done: Callable[[list[Any]], None],
        failed: Callable[[WireError], None],
    ) -> bytes | None:
        try:
            if self._parcels is None:
                raise WireError(f"{self!r} takes no blobs")
            return self._parcels.fetch(head.origin, frames, done, failed)
        except WireError as error:
            failed(error)
            return None

    def _say(
        self, kind: str, id: str, target: str, frames: Sequence[Any] = (), *, short: bool = True
    ) -> None:
        message = [self._head(kind, id, target), *frames]
        self._send(target, message, self._way_of(target, message) if short else Way.LINK)

    def _message(self, kind: str, id: str, target: str, parcel: Parcel) -> list[Any] | None:
        """Make a message of what a parcel has for a cell; None if that cannot be had yet."""
        try:
            frames, blob = parcel.frames_for(target)
        except LinkClosed as error:
            log.debug("%r: %s, a message to it stays here", self, error)
            return None
        return [self._head(kind, id, target, blob), *frames]

    def _way_of(self, target: str, message: list[Any] | None) -> Way:
        """Tell how a message may go now."""
        parcels = self._parcels
        if parcels is None or message is None or not (parcels.is_up(target) and is_small(message)):
            return Way.LINK
        return Way.SHORT

    def _head(self, kind: str, id: str, target: str, blob: int = 0) -> bytes:
        return envelope.seal(
            kind, channel.CALL, id=id, origin=self.name, target=target, attempt=self.attempt, blob=blob
        )

    def _send(self, target: str, message: list[Any], way: Way) -> None:
        if way is Way.SHORT and self._parcels is not None:
            self._parcels.say(target, message, lambda: self._send_by_link(target, message))
        else:
            self._send_by_link(target, message)

    def _send_by_link(self, target: str, frames: list[Any]) -> None:
        try:
            self._post(target, frames)
        except LinkClosed:
            log.debug("%r: the link is closed, a message to %s stays here", self, target)
