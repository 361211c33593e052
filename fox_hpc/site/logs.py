"""The log files of a site's job."""

from __future__ import annotations

from pathlib import Path

_TAIL_BYTES = 8192
_TAIL_LINES = 40


def error_files(folder: Path) -> list[Path]:
    """Give the files that an attempt's job wrote its stderr to, oldest first."""
    return sorted(folder.glob("*_log.err"), key=lambda path: path.stat().st_mtime)


def tail(folder: Path) -> str:
    """Give the last lines that an attempt's job wrote to stderr, or to stdout if it wrote none there."""
    files = error_files(folder)
    if not files:
        return ""
    return last_lines(files[-1]) or last_lines(files[-1].with_suffix(".out"))


def last_lines(path: Path) -> str:
    """Give the last lines of a file, at most 8 KiB; "" if it cannot be read."""
    try:
        file = path.open("rb")
    except OSError:
        return ""
    with file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-_TAIL_LINES:])
