"""The same on this machine, without a scheduler: torchrun starts two ranks for each site."""

from recipe import SITES, FedSgd, Trainer

from fox_hpc import FoxRecipe

recipe = FoxRecipe(
    job_name="collab-ddp-poc",
    min_clients=SITES,
    server=FedSgd(rounds=5),
    client=Trainer(),
    inprocess=False,
    run_cmd="torchrun --nproc_per_node=2",
    tracking_type="tensorboard",
)
