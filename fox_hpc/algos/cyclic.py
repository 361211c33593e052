"""Cyclic weight transfer: Chang et al. 2018, "Distributed deep learning networks among institutions"."""

from __future__ import annotations

import random
from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, refuse_unless, with_params


class Cyclic(Algorithm):
    """The model goes from site to site; each trains it further. A round is one visit to all of them.

    So the result depends on the order of the sites, and a site that fails ends the run with its CallError.

    Args:
        order: "fixed" is that of the sites, "shuffled" another one in each round.
        seed: for "shuffled"; `Algorithm` has the other arguments.
    """

    refused = ("late", "parallel", "min_success")

    def __init__(
        self, model: Any, rounds: int, *, order: str = "fixed", seed: int = 0, **common: Any
    ) -> None:
        refuse_unless(order in ("fixed", "shuffled"), "order", order, "'fixed' or 'shuffled'")
        self.order, self.seed = order, seed
        super().__init__(model, rounds, **common)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        shuffled, model = random.Random(self.seed), self.start()
        for number in fox.rounds(self.rounds):
            sites = list(fox.clients.site_names)
            if self.order == "shuffled":
                shuffled.shuffle(sites)
            for site in sites:
                answer = self.ask_site(site, model, number).results()[0]
                model = with_params(model, self.read(site, answer, model))
            self.tell(number, model)
        return self.end(model)
