"""Swarm learning: the sites average among themselves, and take turns at it; the server keeps no weights.

Source: Warnat-Herresthal et al. 2021, "Swarm Learning for decentralized and confidential clinical machine
learning"; here the turn goes round instead of by an election.
"""

import numpy as np

from fox_hpc import FoxRecipe, fox
from fox_hpc.algos import weighted_average, weights_digest
from fox_hpc.testing.digits import fit_linear, linear_accuracy, make_linear, site_share

SITES, ROUNDS = 3, 10


class Watcher:
    """The server: says whose turn it is, and hears how good the model has become."""

    @fox.algo
    def swarm(self):
        for number in fox.rounds(ROUNDS):
            leader = fox.clients[number % len(fox.clients)]
            accuracy, digest = leader.lead()
        return {"rounds": ROUNDS, "accuracy": accuracy, "digest": digest, "last_leader": leader.site_name}


class Member:
    """A site: trains for others, and leads a round when it is its turn."""

    @fox.init
    def load(self):
        self.images, self.labels = site_share(fox.site_name, SITES)
        # A file, so that a job which takes over from one that was lost has the model as well.
        self.file = fox.workspace / "model.npz"

    @fox.collab
    def lead(self):
        weights = dict(np.load(self.file)) if self.file.exists() else make_linear()
        others = fox.other_clients(blocking=False).train(weights)
        mine = self.train(weights)
        weights = weighted_average([mine, *others.results()])
        fox.other_clients.keep(weights)
        self.keep(weights)
        return linear_accuracy(weights), weights_digest(weights)

    @fox.collab
    def train(self, weights):
        return fit_linear(weights, self.images, self.labels), len(self.labels)

    @fox.collab
    def keep(self, weights):
        part = self.file.with_suffix(".part.npz")
        np.savez(part, **weights)
        part.replace(self.file)


recipe = FoxRecipe(job_name="swarm", min_clients=SITES, server=Watcher(), client=Member())
