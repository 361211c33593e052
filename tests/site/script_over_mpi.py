"""A Client API script with numpy and MPI, without torch; `do` in the model says what is to happen."""

import os
import signal
import sys
from pathlib import Path

import numpy

from fox_hpc import FLModel, RankGroup, broadcast_state_dict, fox, get_client_api

flare = get_client_api()
group = RankGroup()
flare.init(rank=group.rank)
while flare.is_running():
    model = flare.receive()
    weights = broadcast_state_dict(model.params if group.rank == 0 else None)
    do = model.extra.get("do", "")
    if group.rank == 1 and do == "raise":
        raise ValueError(f"bad day on rank {group.rank}")
    if group.rank == 1 and do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if group.rank == 1 and do == "skip":
        continue  # to the next model, while rank 0 waits in the collective
    if do == "hang":
        started = Path(fox.workspace, "started")
        started.with_suffix(".new").write_text(str(os.getpid()))
        started.with_suffix(".new").rename(started)
        signal.pause()
    shares = group.gather(numpy.full(2, group.rank + 1.0))
    if group.rank == 0:
        said = {"backend": group.backend, "torch": "torch" in sys.modules, **flare.system_info()}
        flare.send(FLModel(params={"w": weights["w"] + sum(shares)}, meta=said))
