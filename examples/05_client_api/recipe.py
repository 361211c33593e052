"""The script runs in the process of its site."""

from server import FedAvg

from fox_hpc import FoxClientAPI, FoxRecipe

recipe = FoxRecipe(
    job_name="client-api",
    min_clients=2,
    server=FedAvg(rounds=10),
    client=FoxClientAPI(),
    training_module="client",
)
