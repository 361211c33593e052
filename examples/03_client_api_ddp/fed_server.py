"""The server: sends an FLModel to the sites' scripts and averages what they send back."""

from fox_hpc import FLModel, SummaryWriter, fox
from fox_hpc.algos import weighted_average, weights_digest
from fox_hpc.testing.digits import accuracy, make_net


class FedAvg:
    def __init__(self, rounds):
        self.rounds = rounds
        self.net = make_net()

    @fox.algo
    def fed_avg(self):
        writer = SummaryWriter()
        for number in fox.rounds(self.rounds):
            model = FLModel(params=self.net.state_dict(), current_round=number, total_rounds=self.rounds)
            answers = fox.clients(blocking=False).execute(fl_model=model)
            self.net.load_state_dict(weighted_average(answers).params)
            writer.add_scalar("accuracy", accuracy(self.net), number)
        fox.clients.stop()
        return {
            "rounds": self.rounds,
            "accuracy": accuracy(self.net),
            "digest": weights_digest(self.net.state_dict()),
        }
