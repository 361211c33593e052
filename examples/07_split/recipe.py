"""Split learning: the lower layer of a net is at the site, the upper one at the server.

Source: Gupta, Raskar 2018, "Distributed learning of deep neural network over multiple agents".
"""

import numpy as np

from fox_hpc import FoxRecipe, fox
from fox_hpc.algos import weights_digest
from fox_hpc.testing.digits import held_out, make_layer, site_share, softmax_error

SITES, ROUNDS, HIDDEN, BATCH, RATE = 2, 10, 32, 32, 0.2


def forward(layer, x):
    return x @ layer["w"] + layer["b"]


def backward(layer, x, gradient):
    """Give the layer after a step, and the gradient at its input."""
    stepped = {"w": layer["w"] - RATE * x.T @ gradient, "b": layer["b"] - RATE * gradient.sum(axis=0)}
    return stepped, gradient @ layer["w"].T


class Upper:
    """The server."""

    @fox.algo
    def split(self):
        self.layer = make_layer(HIDDEN, 10, seed=1)
        lower = make_layer(64, HIDDEN, seed=0)
        for number in fox.rounds(ROUNDS):
            for site in fox.clients:  # one after the other: each goes on from where the last one ended
                lower = site.train(lower, number)
        images, labels = held_out()
        named = forward(self.layer, np.maximum(forward(lower, images), 0)).argmax(axis=1)
        parts = {
            "lower.w": lower["w"],
            "lower.b": lower["b"],
            "upper.w": self.layer["w"],
            "upper.b": self.layer["b"],
        }
        return {
            "rounds": ROUNDS,
            "accuracy": float((named == labels).mean()),
            "digest": weights_digest(parts),
        }

    @fox.collab
    def step(self, hidden, labels):
        """Take activations, step the upper layer, and give the gradient at them."""
        error = softmax_error(forward(self.layer, hidden), labels)
        self.layer, gradient = backward(self.layer, hidden, error)
        return gradient


class Lower:
    """A site."""

    @fox.init
    def load(self):
        self.images, self.labels = site_share(fox.site_name, SITES)

    @fox.collab
    def train(self, layer, number):
        order = np.random.default_rng(number).permutation(len(self.labels))
        for batch in np.split(order, range(BATCH, len(order), BATCH)):
            images = self.images[batch]
            hidden = np.maximum(forward(layer, images), 0)
            gradient = fox.server.step(hidden, self.labels[batch])
            layer, _ = backward(layer, images, gradient * (hidden > 0))
        return layer


recipe = FoxRecipe(job_name="split", min_clients=SITES, server=Upper(), client=Lower())
