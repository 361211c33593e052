"""FedBuff: Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, params_of, refuse_unless, with_params
from .arithmetic import change, computed
from .arrivals import Crowd
from .average import Average


class FedBuff(Algorithm):
    """No site waits for another: each gets the newest model as soon as it has answered.

    A round is over when `buffer` answers are there. The model moves by lr times the mean of their changes,
    each weighted by (1 + staleness) ** -decay: by how many rounds the model that the site got is older. So
    the result depends on the order in which sites answer. A site that fails is asked no more.

    Args:
        buffer: how many answers make a round.
        lr: the server's learning rate.
        decay: 0.5 in the paper; 0 lets all answers count the same.
        parallel: how many sites train at a time; 0 means all. `Algorithm` has the other arguments.
    """

    refused = ("late",)

    def __init__(
        self, model: Any, rounds: int, *, buffer: int, lr: float = 1.0, decay: float = 0.5, **common: Any
    ) -> None:
        refuse_unless(isinstance(buffer, int) and buffer >= 1, "buffer", buffer, "1 or more answers")
        refuse_unless(lr > 0, "lr", lr, "a number above 0")
        refuse_unless(decay >= 0, "decay", decay, "0 or a positive number")
        self.buffer, self.lr, self.decay = buffer, lr, decay
        super().__init__(model, rounds, **common)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        model = self.start()
        with Crowd(self) as crowd:
            for number in fox.rounds(self.rounds):
                changes, weights = Average(map(str, range(self.buffer))), 0.0
                for slot in range(self.buffer):
                    asked, base, params = crowd.next(model, number)
                    weight = (1.0 + number - asked) ** -self.decay
                    changes.add(str(slot), change(base, params), weight, take=True)
                    weights += weight
                model = self._moved(model, changes.result(), weights / self.buffer)
                self.tell(number, model)
        return self.end(model)

    def _moved(self, model: Any, changes: Any, share: float) -> Any:
        step = self.lr * share
        return with_params(model, computed(lambda x, d: x + step * d, params_of(model), changes, whole=1))
