"""A Client API script in which every rank receives."""

import os
from pathlib import Path

from fox_hpc import FLModel, fox, get_client_api

flare = get_client_api()
flare.init()
while flare.is_running():
    model = flare.receive()
    with Path(fox.workspace, f"rank-{flare.rank}").open("a") as file:
        file.write(f"{model.params['n']}\n")
    flare.send(FLModel(params={"n": model.params["n"] + 10, "rank": int(os.environ["RANK"])}))
