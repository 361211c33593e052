"""A Client API script in which rank 2 raises while the others wait, as in a collective."""

import threading

from fox_hpc import get_client_api

flare = get_client_api()
flare.init()
model = flare.receive() if flare.rank == 0 else None
if flare.rank == 2:
    raise ValueError("bad day on rank 2")
threading.Event().wait()
