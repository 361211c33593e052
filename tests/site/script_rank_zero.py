"""A Client API script in which rank 0 alone talks to the server; the others wait for a file at the end."""

import time
from pathlib import Path

from fox_hpc import FLModel, fox, get_client_api

flare = get_client_api()
flare.init()
over = Path(fox.workspace, "over")
if flare.rank == 0:
    while (model := flare.receive()) is not None:
        flare.send(FLModel(params={"n": model.params["n"] + 10, "rank": 0}))
    over.touch()
while not over.exists():
    time.sleep(0.02)
