"""SCAFFOLD: Karimireddy et al. 2020, "Stochastic Controlled Averaging for Federated Learning"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from ..model import FLModel
from .algorithm import Algorithm, with_params
from .average import Average
from .controls import Controls
from .optimizers import Optimizer


class Scaffold(Algorithm):
    """FedAvg with control variates: sites whose data differ are kept from drifting to optima of their own.

    A site makes plain SGD steps, w ← w - lr · (gradient + correction), with `model.extra["correction"]`
    (name → array), and answers with `lr_sum` in its `meta`: lr times its number of steps. From that the
    server knows the site's new control (option II of the paper) and keeps it: a site need remember nothing.
    Each site counts the same, as in the paper.

    Args:
        model: an FLModel; `Algorithm` has the other arguments.
        lr: the server's learning rate.
    """

    needs_flmodel = True
    refused = ("late", "parallel")

    def __init__(self, model: Any, rounds: int, *, lr: float = 1.0, **common: Any) -> None:
        self.outer = Optimizer(lr)
        super().__init__(model, rounds, **common)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model."""
        model: FLModel = self.start()
        sites = fox.clients.site_names
        controls = Controls(model.params, sites)
        for number in fox.rounds(self.rounds):
            mean = Average(sites)
            for site, answer in self.each(model, number, lambda at: {"correction": controls.correction(at)}):
                params = self.read(site, answer, model)
                controls.learn(site, model.params, params, _lr_sum(site, answer))
                mean.add(site, params, take=True)
            controls.renew()
            model = with_params(model, self.outer.move(model.params, mean.result()))
            self.tell(number, model)
        return self.end(model)


def _lr_sum(site: str, answer: Any) -> float:
    found = answer.meta.get("lr_sum") if isinstance(answer, FLModel) else None
    if not isinstance(found, int | float) or not found > 0:
        raise ValueError(
            f"{site} sent no lr_sum in meta: its learning rate times its number of steps is right"
        )
    return float(found)
