"""The server: functions of a module, no class. Averages the weights of a softmax regression."""

import numpy as np

from fox_hpc import fox
from fox_hpc.algos import weighted_average, weights_digest
from fox_hpc.testing.digits import held_out

ROUNDS = 15


@fox.algo
def fed_avg():
    weights = {"w": np.zeros((64, 10)), "b": np.zeros(10)}
    for _ in fox.rounds(ROUNDS):
        updates = fox.clients.train(weights)
        weights = weighted_average(updates)
    images, labels = held_out()
    accuracy = float(np.mean((images @ weights["w"] + weights["b"]).argmax(axis=1) == labels))
    return {"rounds": ROUNDS, "accuracy": accuracy, "digest": weights_digest(weights)}
