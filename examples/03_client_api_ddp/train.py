"""A site's training script: runs top to bottom on every rank, with DDP over all nodes of the site.

Rank 0 talks to the server; the other ranks get the weights by `broadcast_state_dict`. It is the same
script with one rank (SimEnv), with four on this machine, or with 128 on sixteen nodes.
"""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from fox_hpc import FLModel, SummaryWriter, broadcast_state_dict, get_client_api, init_process_group
from fox_hpc.testing.digits import make_net, site_share

SITES, EPOCHS, BATCH = 2, 5, 32

torch.set_num_threads(1)
flare = get_client_api()
flare.init()
init_process_group()
rank = dist.get_rank() if dist.is_initialized() else 0
world_size = dist.get_world_size() if dist.is_initialized() else 1

images, labels = map(torch.from_numpy, site_share(flare.get_site_name(), SITES))
writer = SummaryWriter()

while True:
    # An empty state tells the other ranks that the run is over.
    received = flare.receive() if rank == 0 else None
    state = broadcast_state_dict(received.params if received else {})
    if not state:
        break
    number = received.current_round if rank == 0 else 0
    # Made anew in each round: DDP adds gradients up in another order once it has seen a step, and a
    # round is to give the same weights, bit for bit, also as the first of a job that takes over.
    net = make_net()
    net.load_state_dict(state)
    model = DistributedDataParallel(net) if world_size > 1 else net
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    order = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(labels), generator=order).split(BATCH):
            if len(batch) < world_size:
                continue  # each rank needs an image, or the others would wait for it
            mine = batch[rank::world_size]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[mine]), labels[mine])
            loss.backward()
            optimizer.step()
    if rank == 0:
        writer.add_scalar("loss", loss, number)
        flare.send(FLModel(params=net.state_dict(), meta={"num_samples": len(labels)}))

if dist.is_initialized():
    dist.destroy_process_group()
