"""DiLoCo: Douillard et al. 2023, "Distributed Low-Communication Training of Language Models"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, params_of, with_params
from .optimizers import Nesterov


class DiLoCo(Algorithm):
    """Sites make hundreds of inner steps (AdamW in the paper), the server an outer one with momentum.

    That follows their mean change; each site counts the same. The inner optimizer's state stays at its site.

    Args:
        lr: of the outer step.
        beta: the outer momentum; `Algorithm` has the other arguments.
    """

    refused = ("late",)

    def __init__(self, model: Any, rounds: int, *, lr: float = 0.7, beta: float = 0.9, **common: Any) -> None:
        self.outer = Nesterov(lr, beta)
        super().__init__(model, rounds, **common)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        self.outer.reset()
        model = self.start()
        for number in fox.rounds(self.rounds):
            mean = self.equal_mean(self.ask(model, number), model)
            model = with_params(model, self.outer.move(params_of(model), mean))
            self.tell(number, model)
        return self.end(model)
