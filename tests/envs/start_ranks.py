"""A launcher of one's own, as a site may have one: starts the command behind it on several ranks.

`python start_ranks.py 4 -m some.module` runs `python -m some.module` four times, with the variables that
torchrun would set, and ends all of them when one fails.
"""

from __future__ import annotations

import os
import subprocess
import sys


def main() -> int:
    """Start the ranks, wait for them, and give the first exit code that is not 0."""
    count, command = int(sys.argv[1]), [sys.executable, *sys.argv[2:]]
    ranks = {}
    for rank in range(count):
        place = {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)}
        child = subprocess.Popen(command, env={**os.environ, **place})
        ranks[child.pid] = child
    while ranks:
        pid, status = os.waitpid(-1, 0)
        child = ranks.pop(pid)
        if code := os.waitstatus_to_exitcode(status):
            for other in ranks.values():
                other.terminate()
            return code if code > 0 else 128 - code
    return 0


if __name__ == "__main__":
    sys.exit(main())
