"""DP-FedAvg: McMahan et al. 2018, "Learning Differentially Private Recurrent Language Models"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, params_of, with_params
from .arithmetic import computed
from .privacy import check_cost, clip_update, epsilon_spent, refuse_whole


class DpFedAvg(Algorithm):
    """FedAvg that hides whether a site took part: each update is clipped, and their sum gets Gaussian noise.

    Each site counts the same and takes part in a round by chance; the sum is divided by the expected number.
    Who does not trust the server clips and adds noise at the sites (`clip_update`, `add_noise`). Metrics
    are not averaged, since they would tell what the noise hides.

    Args:
        max_norm, noise_multiplier: what an update is clipped to; the noise's deviation on the sum, over that.
        sampling_rate: the chance of each site to take part in a round; 1 takes all.
        seed: for tests only; who knows it can take the noise off again. `Algorithm` has the other arguments.
    """

    refused = ("late", "min_success")

    def __init__(
        self,
        model: Any,
        rounds: int,
        *,
        max_norm: float,
        noise_multiplier: float,
        sampling_rate: float = 1.0,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        check_cost(max_norm, noise_multiplier, sampling_rate)
        self.max_norm, self.noise_multiplier = max_norm, noise_multiplier
        self.sampling_rate, self.seed = sampling_rate, seed
        super().__init__(model, rounds, **common)
        refuse_whole(params_of(self.start()))

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        model, random = self.start(), _generator(self.seed)
        expected = self.sampling_rate * len(fox.clients)
        deviation = self.noise_multiplier * self.max_norm / expected
        for number in fox.rounds(self.rounds):
            chosen = [site for site in fox.clients.site_names if random.random() < self.sampling_rate]
            clipped = self._clipped(model, number, chosen)

            def moved(x: Any, *others: Any) -> Any:
                return x + sum(y - x for y in others) / expected + random.normal(0.0, deviation, x.shape)

            model = with_params(model, computed(moved, params_of(model), *clipped))
            self.tell(number, model)
        return self.end(model)

    def _clipped(self, model: Any, number: int, chosen: list[str]) -> list[Any]:
        if not chosen:
            return []  # noise is added all the same: it hides also that nobody took part
        sent, call = params_of(model), self.ask(model, number, chosen)
        return list(self.answers(call, model, lambda one: clip_update(one, sent, self.max_norm)).values())

    def epsilon(self, delta: float) -> float:
        """Give the epsilon that all rounds cost together; see `epsilon_spent`."""
        return epsilon_spent(self.noise_multiplier, self.rounds, delta, self.sampling_rate)


def _generator(seed: int | None) -> Any:
    import numpy as np

    return np.random.default_rng(seed)
