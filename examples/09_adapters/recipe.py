"""Adapters travel, the model does not."""

import torch
from adapters import ADAPTERS, SITES, adapted_net, as_scanned, steps

from fox_hpc import FoxRecipe, fox
from fox_hpc.algos import FedAvg, weights_digest
from fox_hpc.testing.digits import held_out, site_share

ROUNDS = 8


class Server:
    @fox.algo
    def adapt(self):
        net = adapted_net()
        frozen = score(net)
        net.load_state_dict(FedAvg(net.state_dict(), ROUNDS, keys=ADAPTERS).run())
        return {
            "rounds": ROUNDS,
            "accuracy": score(net),
            "frozen_accuracy": frozen,
            "travels": sum(array.numel() for array in ADAPTERS(net.state_dict()).values()),
            "of": sum(array.numel() for array in net.state_dict().values()),
            "digest": weights_digest(net.state_dict()),
        }


class Site:
    @fox.init
    def load(self):
        self.net = adapted_net()
        self.images, self.labels = as_scanned(site_share(fox.site_name, SITES + 1))

    @fox.collab
    def train(self, adapters):
        self.net.load_state_dict(ADAPTERS.merge(self.net.state_dict(), adapters))
        steps(self.net, self.images, self.labels, epochs=5, lr=0.2)
        return ADAPTERS(self.net.state_dict()), len(self.labels)


def score(net):
    images, labels = as_scanned(held_out())
    with torch.no_grad():
        return float((net(images).argmax(dim=1) == labels).float().mean())


recipe = FoxRecipe(job_name="adapters", min_clients=SITES, server=Server(), client=Site())
