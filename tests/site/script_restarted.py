"""A Client API script in which rank 1 kills itself in the second call, once, and raises in the third.

torchrun starts all ranks anew after either.
"""

import os
import signal
from pathlib import Path

from fox_hpc import FLModel, fox, get_client_api

flare = get_client_api()
flare.init()
died = Path(fox.workspace, "died")
while flare.is_running():
    model = flare.receive()
    if flare.rank == 1 and model.params["n"] == 1 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if flare.rank == 0 and model.params["n"] == 1:
        while not died.exists():
            pass
        restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        if not restarts:
            signal.pause()  # as in a collective
        flare.log({"restarts": restarts})
    if flare.rank == 1 and model.params["n"] == 2:
        raise ValueError("bad day on rank 1")
    if flare.rank == 0 and model.params["n"] == 2:
        signal.pause()
    flare.send(FLModel(params=model.params, meta={**flare.system_info(), "pid": os.getpid()}))
