"""What PBS's programs say when no server answers."""

from __future__ import annotations

import json
import os
import sys
import time

from fox_hpc.fake.pbs.options import VERSION

REFUSED = 162
LOST_BY_QSTAT = 255
NUMBERS = {"Connection refused": 15010, "Unknown Host.": 15008}


def say_unreachable(program: str, argv: list[str], spool: str) -> int:
    """Print it; gives the exit code."""
    server = os.environ.get("PBS_SERVER") or server_name(spool)
    if program == "qstat" and "json" in argv:
        head = (
            f'"timestamp":\t{int(time.time())},\n\t"pbs_version":\t"{VERSION}",\n\t"pbs_server":\t"{server}"'
        )
        print(f"{{\n\t{head}\n}}")  # noqa: T201
    print(words(program, server, "Connection refused"), file=sys.stderr)  # noqa: T201
    return LOST_BY_QSTAT if program == "qstat" else REFUSED


def words(program: str, server: str, why: str) -> str:
    if program == "qdel":
        return f"{why}\nCouldn't connect to cluster: {server}"
    return f"{why}\n{program}: cannot connect to server {server} (errno={NUMBERS[why]})"


def server_name(spool: str) -> str:
    """As the cluster was set up; the usual one if that cannot be known."""
    try:
        with open(os.path.join(spool, "config.json")) as file:  # noqa: PTH118, PTH123 - pathlib takes 10 ms to load
            return str(json.load(file)["server_name"])
    except (OSError, ValueError, KeyError):
        return "pbs01"
