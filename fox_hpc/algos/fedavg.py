"""Federated averaging: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm


class FedAvg(Algorithm):
    """The next model is the mean of what the sites send, weighted by their numbers of samples.

    Arguments are those of `Algorithm`. With an FLModel, metrics are averaged in the same way.
    """

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        model = self.start()
        for number in fox.rounds(self.rounds):
            model = self.mean(self.ask(model, number), model)
            self.tell(number, model)
        return self.end(model)
