"""What a person sees of a run while it is on: a live table on a terminal, one line per change elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..record import RUN_ENDED, RunRecord, SiteRecord

#: The most sites that a live table lists; more are counted by state.
MOST_SITES = 24
#: Width of what is not a terminal: wide enough that no job id or node list is folded.
FILE_WIDTH = 160

_STYLES = {
    "RUNNING": "green",
    "DONE": "dim",
    "PENDING": "yellow",
    "FAILED": "bold red",
    "TIMEOUT": "bold red",
    "LOST": "bold red",
    "PREEMPTED": "magenta",
    "CANCELLED": "red",
}


def make_console(*, stderr: bool = False) -> Console:
    """Make a console; rich drops colours by itself when it is no terminal, or NO_COLOR is set."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console


class View(Protocol):
    """Shows a run as it goes on."""

    def update(self, record: RunRecord) -> None:
        """Show what has changed."""

    def say(self, sentence: str) -> None:
        """Tell something beside it."""

    def close(self) -> None:
        """Leave the screen to others."""


def make_view(console: Console) -> View:
    """Make the view that fits where the output goes."""
    return LiveView(console) if console.is_terminal else LineView(console)


class LineView:
    """Prints a line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: RunRecord | None = None

    def update(self, record: RunRecord) -> None:
        """Print what is new since the last time."""
        for line in changes(self._last, record):
            self.say(line)
        self._last = record

    def say(self, sentence: str) -> None:
        """Print a line."""
        self._console.print(Text(sentence), soft_wrap=True)

    def close(self) -> None:
        """Do nothing: lines stay."""


class LiveView:
    """Keeps a table up to date in place; what the user's code prints goes above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)
        self._said: set[str] = set()
        self._live.start()

    def update(self, record: RunRecord) -> None:
        """Draw the run as it is now."""
        for sentence in record.notices:
            if sentence not in self._said:
                self._said.add(sentence)
                self.say(sentence)
        self._live.update(render(record, time.time()), refresh=True)

    def say(self, sentence: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(sentence), soft_wrap=True)

    def close(self) -> None:
        """Leave the last table where it is."""
        self._live.stop()


def doing(site: SiteRecord) -> str:
    """Say in a word or two what a site does."""
    if site.state != "RUNNING":
        return site.reason.partition("\n")[0]
    return f"{site.call}()" if site.call else "ready" if site.ready else "starting"


def site_line(name: str, site: SiteRecord) -> str:
    """Give one site as one line: `site-1  job 4711 RUNNING node[1-2] ready`."""
    words = [f"job {site.job_id}" if site.job_id else "", site.state, site.nodes]
    words.append("" if site.call else doing(site))
    if site.attempts > 1:
        words.append(f"(attempt {site.attempts})")
    return f"{name}  " + " ".join(word for word in words if word)


def changes(before: RunRecord | None, after: RunRecord) -> list[str]:
    """Give a line for each thing that a reader of a log wants to know of."""
    lines = []
    if before is None:
        lines.append(f"run {after.run} in {after.folder}")
    lines += after.notices[len(before.notices) if before else 0 :]
    old = before.sites if before else {}
    for name, site in after.sites.items():
        line = site_line(name, site)
        told = site.state != "NEW" or site.reason
        if told and (name not in old or site_line(name, old[name]) != line):
            lines.append(line)
    if after.round and (before is None or before.round != after.round):
        lines.append("round " + rounds(after))
    said = troubles(before).keys() if before else ()
    lines += [f"{scheduler}: {why}" for scheduler, why in troubles(after) if (scheduler, why) not in said]
    known = before.failures if before else {}
    lines += [f"{name}: {why}" for name, why in after.failures.items() if known.get(name) != why]
    return lines


def troubles(record: RunRecord) -> dict[tuple[str, str], float | None]:
    """Give each scheduler that does not answer as it should, with its words; and when it last did answer."""
    found: dict[tuple[str, str], float | None] = {}
    for site in record.sites.values():
        if site.trouble:
            key = (site.scheduler, site.trouble)
            times = [when for when in (found.get(key), site.answered) if when]
            found[key] = max(times, default=None)
    return found


def trouble_lines(record: RunRecord, now: float) -> list[str]:
    """Say of each such scheduler for how long nothing has been known."""
    return [
        f"{scheduler} last answered {clock(now - when)} ago: {why}"
        if when
        else f"{scheduler} has not answered yet: {why}"
        for (scheduler, why), when in troubles(record).items()
    ]


def rounds(record: RunRecord) -> str:
    """Say how far a run is: `2/5`, or `2` when nobody said how many there will be."""
    return f"{record.round}/{record.rounds}" if record.rounds else str(record.round)


def render(record: RunRecord, now: float) -> RenderableType:
    """Draw a run."""
    troubled = [Text(line, style="yellow") for line in trouble_lines(record, now)]
    return Group(head(record, now), site_table(record, now), *troubled)


def head(record: RunRecord, now: float) -> RenderableType:
    """Draw a run's own line: its state, how far it is, and for how long it has been on."""
    until = now if record.ended is None else record.ended
    line = Table.grid(padding=(0, 1))
    words = [Text(record.run, style="bold"), Text(record.state, style=_STYLES.get(record.state, ""))]
    if record.rounds and record.state not in RUN_ENDED:
        line.add_row(
            *words,
            ProgressBar(record.rounds, record.round, width=30),
            f"round {rounds(record)}",
            clock(until - record.started),
        )
    else:
        line.add_row(*words, f"round {rounds(record)}" if record.round else "", clock(until - record.started))
    return line


def site_table(record: RunRecord, now: float) -> RenderableType:
    """Draw a run's sites."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("site", "scheduler", "job", "state", "nodes", "attempt", "for", "does"):
        table.add_column(column, no_wrap=column != "does", justify="right" if column == "for" else "left")
    for name, site in list(record.sites.items())[:MOST_SITES]:
        table.add_row(
            name,
            site.scheduler,
            site.job_id,
            state_text(site),
            site.nodes,
            str(site.attempts or ""),
            clock(now - site.since) if site.since and record.ended is None else "",
            doing(site),
        )
    if len(record.sites) <= MOST_SITES:
        return table
    counts = Counter(site.state for site in list(record.sites.values())[MOST_SITES:])
    rest = ", ".join(f"{count} {state}" for state, count in counts.items())
    return Group(table, Text(f"… and {rest}", style="dim"))


def state_text(site: SiteRecord) -> Text:
    """Give a site's state in its colour."""
    return Text(site.state, style=_STYLES.get(site.state, ""))


def clock(seconds: float) -> str:
    """Write a length of time as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
