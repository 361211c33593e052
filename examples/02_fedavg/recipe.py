"""Federated averaging with classes and torch; the same result in every environment, bit for bit."""

import torch

from fox_hpc import FoxRecipe, SummaryWriter, fox
from fox_hpc.algos import weighted_average, weights_digest
from fox_hpc.testing.digits import accuracy, make_net, site_share

SITES = 2


class FedAvg:
    """The server."""

    def __init__(self, rounds):
        self.rounds = rounds
        self.net = make_net()

    @fox.algo
    def fed_avg(self):
        writer = SummaryWriter()
        for number in fox.rounds(self.rounds):
            updates = fox.clients(blocking=False).train(self.net.state_dict(), number)
            self.net.load_state_dict(weighted_average(updates))
            writer.add_scalar("accuracy", accuracy(self.net), number)
        return {
            "rounds": self.rounds,
            "accuracy": accuracy(self.net),
            "digest": weights_digest(self.net.state_dict()),
        }


class Trainer:
    """A site."""

    @fox.init
    def load(self):
        torch.set_num_threads(1)  # sums split over threads would differ from machine to machine
        images, labels = site_share(fox.site_name, SITES)
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        self.net = make_net()

    @fox.collab
    def train(self, weights, number):
        self.net.load_state_dict(weights)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        order = torch.Generator().manual_seed(number)
        for _ in range(5):
            for batch in torch.randperm(len(self.labels), generator=order).split(32):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(self.net(self.images[batch]), self.labels[batch])
                loss.backward()
                optimizer.step()
        SummaryWriter().add_scalar("loss", loss, number)
        return self.net.state_dict(), len(self.labels)


recipe = FoxRecipe(
    job_name="fedavg",
    min_clients=SITES,
    server=FedAvg(rounds=5),
    client=Trainer(),
    tracking_type="tensorboard",
)
