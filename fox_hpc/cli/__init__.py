"""The command line: `fox-hpc submit | attach | status | doctor | …`; `app` lists all commands."""

from __future__ import annotations

import signal
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code (see `app`)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Nothing is running yet that would need cleaning up: Ctrl-C while modules load is a plain death.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .app import run

    run(args)
