"""Calling: how a site's functions call the server, and other sites by way of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from ..api.context import SERVER
from ..call import Call, Pending
from ..wire.call_codec import write_call
from ..wire.cell import Cell


class Calling:
    """The backend of rank 0: all calls go to the server, which passes on those that are for sites.

    Each call to a site carries its own copy of the arguments. Its timeout counts from the moment that the
    called site runs: the server looks after it.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    @property
    def secure(self) -> bool:
        """See Backend."""
        return self._cell.secure

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """See Backend."""
        started: list[Pending] = []
        for site in targets:
            if site == SERVER:
                started += self._cell.start(call, [site])
            else:
                payload = write_call(structs.replace(call, to=site))
                started += self._cell.start_encoded(structs.replace(call, timeout=None), payload, [site])
        return started

    def cancel(self, pending: Sequence[Pending]) -> None:
        """See Backend."""
        self._cell.cancel(pending)
