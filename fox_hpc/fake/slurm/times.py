"""Slurm's ways to write times, and to read them."""

from __future__ import annotations

import re
import time

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_length(text: str) -> float | None:
    """Seconds of `30`, `1:30`, `1:00:00`, `2-12`, `2-12:30`, `2-12:30:15`, `UNLIMITED`; None if wrong.

    The real one rounds up to whole minutes; this one keeps the seconds, so that tests of limits end soon.
    """
    if text.upper() in ("UNLIMITED", "INFINITE", "-1"):
        return 365 * 86400.0
    if re.fullmatch(r"\d+-\d+(:\d+){0,2}", text):
        days, _, rest = text.partition("-")
        hours, minutes, seconds = [*map(int, rest.split(":")), 0, 0][:3]
        return int(days) * 86400.0 + hours * 3600 + minutes * 60 + seconds
    if not re.fullmatch(r"\d+(:\d+){0,2}", text):
        return None
    parts = [int(part) for part in text.split(":")]
    if len(parts) == 1:
        return parts[0] * 60.0
    if len(parts) == 2:
        return parts[0] * 60.0 + parts[1]
    return parts[0] * 3600.0 + parts[1] * 60 + parts[2]


def parse_moment(text: str, now: float) -> float | None:
    """Epoch seconds of `now`, `now+1hour`, `16:00`, `2026-11-24T04:31:47`; None if wrong."""
    match = re.fullmatch(r"now(?:\+(\d+)([a-z]*))?", text)
    if match:
        count, unit = match.groups()
        if unit and unit[0] not in UNITS:
            return None
        return now + int(count or 0) * UNITS[unit[0] if unit else "s"]
    for pattern in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"):
        try:
            return time.mktime(time.strptime(text, pattern))
        except ValueError:
            continue
    match = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d))?", text)
    if match is None:
        return None
    day = time.localtime(now)
    hour, minute, second = (int(part or 0) for part in match.groups())
    moment = time.mktime((day.tm_year, day.tm_mon, day.tm_mday, hour, minute, second, 0, 0, -1))
    return moment if moment > now else moment + 86400


def stamp(moment: float, none: str = "N/A") -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment)) if moment else none


def short_length(seconds: float) -> str:
    """squeue's form: 0:04, 10:00, 2:00:00, 1-00:00:00."""
    days, hours, minutes, rest = _parts(seconds)
    if days:
        return f"{days}-{hours:02d}:{minutes:02d}:{rest:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def long_length(seconds: float) -> str:
    """sacct's and scontrol's form: 00:10:00, 1-00:00:00."""
    days, hours, minutes, rest = _parts(seconds)
    head = f"{days}-" if days else ""
    return f"{head}{hours:02d}:{minutes:02d}:{rest:02d}"


def _parts(seconds: float) -> tuple[int, int, int, int]:
    whole = int(seconds)
    return whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
