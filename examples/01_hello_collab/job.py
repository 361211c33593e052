"""The same two modules; `run_cmd` starts each site's functions in a process of their own."""

import hello_client
import hello_server

from fox_hpc import FoxRecipe

recipe = FoxRecipe(
    job_name="hello-subprocess",
    min_clients=2,
    server=hello_server,
    client=hello_client,
    inprocess=False,
    run_cmd="env OMP_NUM_THREADS=1",
)
