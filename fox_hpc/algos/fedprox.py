"""FedProx: Li et al. 2020, "Federated Optimization in Heterogeneous Networks"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, refuse_unless


class FedProx(Algorithm):
    """FedAvg whose sites are held near what they received: they add μ/2 · ‖w - received‖² to their loss.

    A site finds μ in `model.extra["mu"]`, and the term in `proximal_term` or `proximal_gradient`.

    Args:
        model: an FLModel; `Algorithm` has the other arguments.
        mu: how strongly they are held; 0 is FedAvg.
    """

    needs_flmodel = True

    def __init__(self, model: Any, rounds: int, *, mu: float, **common: Any) -> None:
        refuse_unless(mu >= 0, "mu", mu, "0 or a positive number")
        self.mu = mu
        super().__init__(model, rounds, **common)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model."""
        model = self.start()
        for number in fox.rounds(self.rounds):
            model = self.mean(self.ask(model, number, mu=self.mu), model)
            self.tell(number, model)
        return self.end(model)
