"""Names of cells: `server`, `site-1.app` (a site's relay), `site-1.app.worker.0` (a site's rank 0)."""

from __future__ import annotations


def worker_cell(site: str, rank: int = 0) -> str:
    """Name the cell that runs a site's functions; the server's is `server`."""
    return "server" if site == "server" else f"{site}.app.worker.{rank}"


def relay_cell(site: str) -> str:
    """Name the relay's cell of a site."""
    return f"{site}.app"


def site_of(cell: str) -> str:
    """Name the site that a cell belongs to."""
    return cell.partition(".")[0]
