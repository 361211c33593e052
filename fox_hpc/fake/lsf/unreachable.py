"""What LSF's programs say when there is nobody to ask: as recorded without a configuration, and as attested
(public logs) for a master that is down."""

from __future__ import annotations

import os
import sys

NO_CONFIGURATION = "lsb_init: Failed in an LSF library call: Unable to open file lsf.conf."
DOWN = "LSF is down. Please wait ..."


def say_unreachable(program: str, spool: str) -> int:
    """Say it, and give the exit code. The real ones ask again and again before they give up; these do not."""
    known = os.path.exists(os.path.join(spool, "config.json"))  # noqa: PTH110, PTH118 - pathlib loads slowly
    sent = " Job not submitted." if program == "bsub" else ""
    print((DOWN if known else NO_CONFIGURATION) + sent, file=sys.stderr)  # noqa: T201
    return 255
