"""Ghosts: jobs that were given up before they had a trace in the queue, and may come all the same."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from ..errors import SchedulerError
from .doubt import GHOST_S
from .launcher import Launcher

log = logging.getLogger(__name__)


class Ghosts:
    """Their names, since when each is known, and their end.

    Args:
        names: those that an earlier relay has left.
    """

    def __init__(self, launcher: Launcher, names: Iterable[str]) -> None:
        self._launcher = launcher
        self._since = dict.fromkeys(names, time.monotonic())

    def add(self, name: str) -> None:
        """Another job has been submitted in the place of the one of that name."""
        self._since[name] = time.monotonic()

    def lay(self) -> None:
        """Cancel those that have come; one that has not come for long will not come."""
        for name, since in list(self._since.items()):
            try:
                found = self._launcher.find(name)
                self._launcher.cancel(found)
            except SchedulerError as error:
                log.warning("whether job %s came after all is not known yet: %s", name, error)
                continue
            if found or time.monotonic() - since > GHOST_S:
                del self._since[name]
