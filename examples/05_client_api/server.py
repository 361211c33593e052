"""The server: sends a model to the sites' scripts, averages what they send back, and stops them."""

from fox_hpc import FLModel, fox
from fox_hpc.algos import weighted_average, weights_digest
from fox_hpc.testing.digits import linear_accuracy, make_linear


class FedAvg:
    def __init__(self, rounds):
        self.rounds = rounds

    @fox.algo
    def fed_avg(self):
        model = FLModel(params=make_linear())
        for number in fox.rounds(self.rounds):
            answers = fox.clients.execute(FLModel(params=model.params, current_round=number))
            model = weighted_average(answers)
        fox.clients.stop()
        return {
            "rounds": self.rounds,
            "accuracy": linear_accuracy(model.params),
            "digest": weights_digest(model.params),
        }
