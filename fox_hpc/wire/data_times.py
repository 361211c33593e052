"""DataTimes: how long the ends of data connections wait, and what follows. Pure: the clock is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class DataTimes:
    """Waits, in seconds.

    Args:
        greet_s: who has not greeted, or answered a greeting, after so long is cut off.
        dial_s: so long one address is tried.
        redial_s: the first and the longest wait before dialling again.
        tick_s: how often a connection is looked at.
        stall_s: a connection on which no byte of a chunk has come for so long, though chunks were asked for,
            is made anew …
        give_up_s: … and when none has come for so long over any connection, what waits for them fails.
        silent_s: who dialled makes a connection anew on which nothing at all has come for so long.
    """

    greet_s: float = 10.0
    dial_s: float = 10.0
    redial_s: tuple[float, float] = (0.05, 3.0)
    tick_s: float = 5.0
    stall_s: float = 20.0
    give_up_s: float = 150.0
    silent_s: float = 30.0


NORMAL = DataTimes()


class Verdict(Enum):
    """What is to be done about a connection."""

    FINE = 0
    PING = 1  # ask whether the other end is there
    ANEW = 2  # this one is dead
    GIVE_UP = 3  # so is every other


class DataWatch:
    """Judges the connections with one peer by what has come on them."""

    def __init__(self, times: DataTimes) -> None:
        self._times = times
        self._heard = self._came = 0
        self._heard_at = self._came_at = self._opened_at = 0.0

    def begin(self, now: float) -> None:
        """Something is fetched from now on; nothing was before."""
        self._came_at = now

    def opened(self, now: float) -> None:
        """There is a new connection. That it could be opened says nothing of whether chunks come."""
        self._heard = self._came = 0
        self._heard_at = self._opened_at = now

    def lasted_s(self, now: float) -> float:
        """Give the age of the connection."""
        return now - self._opened_at

    def silent_s(self, now: float) -> float:
        """Give for how long no byte of a chunk has come."""
        return now - self._came_at

    def look(self, now: float, heard: int, came: int, *, busy: bool, waiting: bool, dialled: bool) -> Verdict:
        """Judge.

        Args:
            heard, came: bytes that have come on the connection, all and those of chunks; 0 if there is none.
            busy: something is being fetched.
            waiting: chunks were asked for on this connection.
            dialled: this end keeps the connection.
        """
        if heard != self._heard:
            self._heard, self._heard_at = heard, now
        if came > self._came:
            self._came, self._came_at = came, now
        times, silent_s = self._times, now - self._heard_at
        if busy and now - self._came_at >= times.give_up_s:
            return Verdict.GIVE_UP
        if waiting and now - max(self._came_at, self._opened_at) >= times.stall_s:
            return Verdict.ANEW
        if dialled and silent_s >= times.silent_s:
            return Verdict.ANEW
        return Verdict.PING if dialled and silent_s >= times.tick_s else Verdict.FINE
