"""A called function that uses collectives: all ranks of the site enter it, with the same arguments."""

import torch
import torch.distributed as dist

from fox_hpc import FoxRecipe, SummaryWriter, fox, init_process_group
from fox_hpc.algos import weighted_average, weights_digest
from fox_hpc.testing.digits import accuracy, make_net, site_share

SITES = 2


class FedSgd:
    """The server: sites give gradients' averages, the server steps."""

    def __init__(self, rounds):
        self.rounds = rounds
        self.net = make_net()

    @fox.algo
    def fed_avg(self):
        writer = SummaryWriter()
        for number in fox.rounds(self.rounds):
            updates = fox.clients.train(self.net.state_dict())
            self.net.load_state_dict(weighted_average(updates))
            writer.add_scalar("accuracy", accuracy(self.net), number)
        return {
            "rounds": self.rounds,
            "accuracy": accuracy(self.net),
            "digest": weights_digest(self.net.state_dict()),
        }


class Trainer:
    """A site; every rank has one."""

    @fox.init
    def join(self):
        torch.set_num_threads(1)
        init_process_group()
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1
        images, labels = site_share(fox.site_name, SITES)
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        self.net = make_net()

    @fox.collab
    def train(self, weights):
        self.net.load_state_dict(weights)
        mine = slice(self.rank, None, self.world_size)
        for _ in range(40):
            self.net.zero_grad()
            scores = self.net(self.images[mine])
            loss = torch.nn.functional.cross_entropy(scores, self.labels[mine], reduction="sum")
            loss.backward()
            with torch.no_grad():
                for parameter in self.net.parameters():
                    if self.world_size > 1:
                        dist.all_reduce(parameter.grad)
                    parameter -= 0.5 * parameter.grad / len(self.labels)
        return self.net.state_dict(), len(self.labels)

    @fox.final
    def leave(self):
        if dist.is_initialized():
            dist.destroy_process_group()


recipe = FoxRecipe(
    job_name="collab-ddp",
    min_clients=SITES,
    server=FedSgd(rounds=5),
    client=Trainer(),
    inprocess=False,
    run_cmd="srun torchrun --nproc_per_node=2 --nnodes=$SLURM_NNODES",
    hpc_config={"nodes_per_client": 2, "cpus_per_node": 2, "time_limit": "0:10:00"},
    tracking_type="tensorboard",
)
