"""Mouth: what a keeper needs of its relay, which talks to workers and to the server."""

from __future__ import annotations

from typing import Protocol

from .jobs import SiteJob


class Mouth(Protocol):
    """Called on the main thread."""

    def submit(self, site: str, attempt: int) -> str:
        """Start one attempt's job and return its id; raises SubmitError."""

    def tell(self, job: SiteJob, *, final: bool, refused: str = "") -> None:
        """Tell the server what became of a job."""

    def let_finish(self, site: str) -> None:
        """Ask a site's worker to end by itself."""
