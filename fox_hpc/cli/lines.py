"""What a process that runs for long tells: sentences for people, or one JSON object a line for programs."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

import click

from .runs import json_line


class Lines(logging.Handler):
    """Writes events, and what is logged anywhere in the process.

    Args:
        as_json: events and log lines go to stdout as JSON objects with `at`, `event` and `text`. Else events
            are sentences on stdout, and log lines go to stderr.
    """

    def __init__(self, as_json: bool) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(message)s"))
        self._as_json, self._writing = as_json, threading.Lock()

    def install(self) -> Lines:
        """Take what is logged from now on."""
        logging.basicConfig(level=logging.INFO, handlers=[self])
        return self

    def say(self, event: str, text: str, **fields: Any) -> None:
        """Tell an event."""
        if self._as_json:
            text = json_line({"at": time.time(), "event": event, "text": text, **fields})
        else:
            text = f"fox-hpc: {text}"
        self._write(text, err=False)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        try:
            text = self.format(record)
            if self._as_json:
                line = {"at": record.created, "event": "log", "level": record.levelname, "text": text}
                self._write(json_line(line), err=False)
            else:
                clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
                self._write(f"{clock} {record.levelname} {text}", err=True)
        except Exception:
            self.handleError(record)

    def _write(self, line: str, *, err: bool) -> None:
        with self._writing:
            # The stream that the process began with: a recipe's own prints may be led elsewhere.
            click.echo(line, file=sys.__stderr__ if err else sys.__stdout__)
