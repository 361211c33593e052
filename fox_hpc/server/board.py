"""Board: where the server's desk puts what it learns of sites."""

from __future__ import annotations

from typing import Any, Protocol


class Board(Protocol):
    """Where the desk puts what it learns; the controller is one."""

    def change_site(self, site: str, **fields: Any) -> None:
        """Set fields of one site's record."""

    def track(self, site: str, data: bytes, /) -> None:
        """Take packed entries of tracking; raises WireError if they are none."""

    def note_dropped(self, site: str, attempt: int, total: int, /) -> None:
        """An attempt of a site has dropped so many entries so far."""
