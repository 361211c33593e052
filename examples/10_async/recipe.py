"""Asynchronous averaging: a slow site holds nobody up, and what it sends late counts less."""

import time
from collections import Counter

from fox_hpc import FoxRecipe, fox
from fox_hpc.algos import FedBuff, weights_digest
from fox_hpc.testing.digits import fit_linear, linear_accuracy, make_linear, site_share

SITES, ROUNDS = 3, 40


class Counted(FedBuff):
    """FedBuff that counts whose answers it has used."""

    def __init__(self):
        super().__init__(make_linear(), ROUNDS, buffer=2)

    def read(self, site, answer, model):
        self.used[site] += 1
        return super().read(site, answer, model)

    @fox.algo
    def run(self):
        self.used = Counter()
        weights = super().run()
        return {
            "rounds": ROUNDS,
            "accuracy": linear_accuracy(weights),
            "used": dict(sorted(self.used.items())),
            "digest": weights_digest(weights),
        }


class Site:
    @fox.init
    def load(self):
        self.images, self.labels = site_share(fox.site_name, SITES)

    @fox.collab
    def train(self, weights):
        time.sleep(fox.prop("slower_by"))  # what another machine would need longer
        return fit_linear(weights, self.images, self.labels), len(self.labels)


recipe = FoxRecipe(
    job_name="async",
    min_clients=SITES,
    server=Counted(),
    client=Site(),
    props={"slower_by": 0.0},
    sites={"site-3": {"props": {"slower_by": 0.3}}},
)
