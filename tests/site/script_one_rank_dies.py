"""A Client API script in which rank 3 is killed, whereupon the others raise, as out of a collective."""

import os
import signal
import time
from pathlib import Path

import psutil

from fox_hpc import fox, get_client_api

flare = get_client_api()
flare.init()
model = flare.receive() if flare.rank == 0 else None
victim = Path(fox.workspace, "victim")
if flare.rank == 3:
    # Renamed, so that nobody reads half of it.
    Path(f"{victim}.new").write_text(str(os.getpid()))
    Path(f"{victim}.new").rename(victim)
    os.kill(os.getpid(), signal.SIGKILL)


def gone() -> bool:
    try:
        return psutil.Process(int(victim.read_text())).status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, FileNotFoundError):
        return victim.exists()


while not gone():
    time.sleep(0.01)
raise ConnectionError("connection closed by peer")
