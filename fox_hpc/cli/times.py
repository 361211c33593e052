"""What a run's record says of time: how long a site waited, is in its state, and may go on. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..record import SITE_ENDED, RunRecord, SiteRecord


@dataclass(frozen=True)
class SiteTimes:
    """One site's times in seconds; None where there is none, or nobody knows it.

    Args:
        queued_s: how long its job waits, or waited, in the queue.
        in_state_s: for how long the site has been in its state.
        left_s: until the job's time limit.
        answered_s: age of the scheduler's last good answer about the job.
    """

    queued_s: float | None = None
    in_state_s: float | None = None
    left_s: float | None = None
    answered_s: float | None = None


def site_times(
    record: RunRecord, site: SiteRecord, now: float, *, submitted: float | None, limit_s: float | None
) -> SiteTimes:
    """Work them out.

    Args:
        now: seconds since the epoch, as `submitted` (when the scheduler took the site's last attempt) is.
        limit_s: the job's time limit, None if the partition's default holds.
    """
    if record.ended is not None or not site.since:
        return SiteTimes()
    in_state = max(0.0, now - site.since)
    began = site.since if site.state == "RUNNING" else now
    queued = max(0.0, began - submitted) if submitted and site.state in ("PENDING", "RUNNING") else None
    left = max(0.0, limit_s - in_state) if limit_s is not None and site.state == "RUNNING" else None
    heard = max(0.0, now - site.answered) if site.answered and site.state not in SITE_ENDED else None
    return SiteTimes(queued, in_state, left, heard)
