"""TrackedRun: what a receiver is told of the run whose entries it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrackedRun:
    """What a receiver is told of the run: its id, its job's name and its folder at the server."""

    run: str
    job_name: str
    folder: Path
