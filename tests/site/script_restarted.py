"""A Client API script in which rank 1 kills itself in the second call, once, and raises in the third.

torchrun starts all ranks anew after either.
"""

import os
import signal
from pathlib import Path

from fox_hpc import FLModel, fox, get_client_api

flare = get_client_api()
flare.init()
began = Path(fox.workspace, f"began-{flare.rank}")
again = began.exists()
began.touch()
while flare.is_running():
    model = flare.receive()
    if model.params["n"] == 1 and not again:
        if flare.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # as in a collective
    if flare.rank == 1 and model.params["n"] == 2:
        raise ValueError("bad day on rank 1")
    if flare.rank == 0 and model.params["n"] == 2:
        signal.pause()
    flare.log({"again": again}, step=model.params["n"])
    flare.send(FLModel(params=model.params, meta={**flare.system_info(), "pid": os.getpid()}))
