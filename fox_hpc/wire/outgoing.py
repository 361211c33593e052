"""Outgoing: one call that a cell has made, until its future ends."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

import msgspec

from ..call import Call, Fault
from .late_reply import LateReply
from .parcel import Parcel
from .sender import Way

log = logging.getLogger(__name__)


class Outgoing(msgspec.Struct, eq=False):
    """A call whose answer has not come.

    Args:
        target: the cell that it is for.
        call: without its arguments, which the parcel has.
        way: how it was sent last, None if it has not been.
        fetching: the blob of the answer, once that is on its way.
        late: the answer, if it is a late one; the call stays open until that is released.
    """

    id: str
    site: str
    target: str
    call: Call
    parcel: Parcel
    way: Way | None = None
    future: Future[Any] = msgspec.field(default_factory=Future)
    stop_timer: Callable[[], None] | None = None
    fetching: bytes | None = None
    late: weakref.ref[LateReply] | None = None

    def fail(self, fault: Fault) -> None:
        """End it with an error."""
        self.settle(error=fault.to_error(site=self.site, func=self.call.func, call_id=self.id))

    def settle(self, *, value: Any = None, error: BaseException | None = None) -> None:
        """End it; the first end counts."""
        if self.stop_timer is not None:
            self.stop_timer()
        self.parcel.settled(self.target)
        late = self.late() if self.late is not None else None
        if late is not None and error is not None:
            late.fail(error)
        try:
            if error is not None:
                self.future.set_exception(error)
            else:
                self.future.set_result(value)
        except InvalidStateError:
            log.debug("call %s was settled before", self.id)
