"""What relays and workers tell the server of themselves, read from what came."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import WireError


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
    answered: float | None = None
    trouble: str = ""


#: What of it stands in a site's record.
SHOWN = (
    *("scheduler", "job_id", "attempts", "state", "ready", "reason", "nodes", "exit_code", "log"),
    *("answered", "trouble"),
)


def read_news(value: Any) -> News:
    """Read an `event`; raises WireError if it is none."""
    try:
        return msgspec.convert(value, News)
    except msgspec.ValidationError as error:
        raise WireError(f"this is no news: {error}") from error
