"""The same server and the same script; `run_cmd` starts the script in a process of its own."""

from server import FedAvg

from fox_hpc import FoxClientAPI, FoxRecipe

recipe = FoxRecipe(
    job_name="client-api-subprocess",
    min_clients=2,
    server=FedAvg(rounds=10),
    client=FoxClientAPI(),
    training_module="client",
    inprocess=False,
    run_cmd="env OMP_NUM_THREADS=1",
)
