"""A shared body and a personal head: what is the site's own never leaves it.

Source: Arivazhagan et al. 2019, "Federated Learning with Personalization Layers".
"""

import numpy as np

from fox_hpc import FLModel, FoxRecipe, fox
from fox_hpc.algos import weighted_average, weights_digest, without
from fox_hpc.testing.digits import held_out, make_layer, site_share, softmax_error

SITES, ROUNDS, HIDDEN = 2, 20, 32
BODY = without("head.*")


def make_net():
    layers = {"body": make_layer(64, HIDDEN, seed=0), "head": make_layer(HIDDEN, 10, seed=1)}
    return {f"{layer}.{name}": array for layer, arrays in layers.items() for name, array in arrays.items()}


class Server:
    """Averages bodies; it never sees a head."""

    @fox.algo
    def personalised(self):
        body = BODY(make_net())
        for number in fox.rounds(ROUNDS):
            model = FLModel(params=body, current_round=number, extra={"lr": 0.5 * 0.95**number})
            body = weighted_average(fox.clients.train(model)).params
        scores = dict(fox.clients.score(body).items())
        mean = sum(scores.values()) / len(scores)
        return {"rounds": ROUNDS, "accuracy": mean, "sites": scores, "digest": weights_digest(body)}


class Site:
    """Writes digits down by a code of its own: what one site calls 3, another one calls 6."""

    @fox.init
    def load(self):
        self.images, self.labels = self.in_our_code(site_share(fox.site_name, SITES))
        # A file, so that a job which takes over from one that was lost has the head as well.
        self.file = fox.workspace / "personal.npz"

    def in_our_code(self, share):
        images, labels = share
        return images, (labels + fox.prop("code")) % 10

    def net(self, body):
        own = dict(np.load(self.file)) if self.file.exists() else make_net()
        return BODY.merge(own, body)

    @fox.collab
    def train(self, model):
        net = self.net(model.params)
        order = np.random.default_rng(model.current_round).permutation(len(self.labels))
        for batch in np.split(order, range(32, len(order), 32)):
            step(net, self.images[batch], self.labels[batch], model.extra["lr"])
        part = self.file.with_suffix(".part.npz")
        np.savez(part, **net)
        part.replace(self.file)
        return FLModel(params=BODY(net), meta={"num_samples": len(self.labels)})

    @fox.collab
    def score(self, body):
        images, labels = self.in_our_code(held_out())
        _, scores = forward(self.net(body), images)
        return float((scores.argmax(axis=1) == labels).mean())


def forward(net, images):
    hidden = np.maximum(images @ net["body.w"] + net["body.b"], 0)
    return hidden, hidden @ net["head.w"] + net["head.b"]


def step(net, images, labels, lr):
    hidden, scores = forward(net, images)
    error = softmax_error(scores, labels)
    below = error @ net["head.w"].T * (hidden > 0)
    for layer, inputs, gradient in (("head", hidden, error), ("body", images, below)):
        net[f"{layer}.w"] = net[f"{layer}.w"] - lr * inputs.T @ gradient
        net[f"{layer}.b"] = net[f"{layer}.b"] - lr * gradient.sum(axis=0)


recipe = FoxRecipe(
    job_name="personalised",
    min_clients=SITES,
    server=Server(),
    client=Site(),
    props={"code": 0},
    sites={"site-2": {"props": {"code": 3}}},
)
