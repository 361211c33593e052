"""The main job: a training script, DDP over two nodes a site, each site a batch job."""

from fed_server import FedAvg

from fox_hpc import FoxClientAPI, FoxRecipe

recipe = FoxRecipe(
    job_name="client-api-ddp",
    min_clients=2,
    server=FedAvg(rounds=5),
    client=FoxClientAPI(),
    training_module="train",
    inprocess=False,
    run_cmd="srun torchrun --nproc_per_node=2 --nnodes=$SLURM_NNODES",
    hpc_config={
        "nodes_per_client": 2,
        "cpus_per_node": 2,
        "time_limit": "0:10:00",
    },
    tracking_type="tensorboard",
)
