"""FedOpt: Reddi et al. 2021, "Adaptive Federated Optimization".

FedAvgM: Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution".
"""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, params_of, with_params
from .optimizers import Adagrad, Adam, Momentum, Optimizer, Yogi


class FedOpt(Algorithm):
    """The mean of what the sites send is not taken as it is: an optimizer steps towards it.

    Args:
        optimizer: one of `fox_hpc.algos.optimizers`; `Algorithm` has the other arguments.
    """

    def __init__(self, model: Any, rounds: int, *, optimizer: Optimizer, **common: Any) -> None:
        self.optimizer = optimizer
        super().__init__(model, rounds, **common)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        self.optimizer.reset()
        model = self.start()
        for number in fox.rounds(self.rounds):
            mean = self.mean(self.ask(model, number), model)
            model = with_params(mean, self.optimizer.move(params_of(model), params_of(mean)))
            self.tell(number, model)
        return self.end(model)


class FedAdam(FedOpt):
    """FedOpt with Adam; `optimizers.Adam` has lr, beta1, beta2 and tau."""

    def __init__(
        self,
        model: Any,
        rounds: int,
        *,
        lr: float = 0.1,
        beta1: float = 0.9,
        beta2: float = 0.99,
        tau: float = 1e-3,
        **common: Any,
    ) -> None:
        super().__init__(model, rounds, optimizer=Adam(lr, beta1, tau, beta2), **common)


class FedYogi(FedOpt):
    """FedOpt with Yogi; `optimizers.Yogi` has lr, beta1, beta2 and tau."""

    def __init__(
        self,
        model: Any,
        rounds: int,
        *,
        lr: float = 0.1,
        beta1: float = 0.9,
        beta2: float = 0.99,
        tau: float = 1e-3,
        **common: Any,
    ) -> None:
        super().__init__(model, rounds, optimizer=Yogi(lr, beta1, tau, beta2), **common)


class FedAdagrad(FedOpt):
    """FedOpt with Adagrad; `optimizers.Adagrad` has lr, beta1 and tau."""

    def __init__(
        self,
        model: Any,
        rounds: int,
        *,
        lr: float = 0.1,
        beta1: float = 0.0,
        tau: float = 1e-3,
        **common: Any,
    ) -> None:
        super().__init__(model, rounds, optimizer=Adagrad(lr, beta1, tau), **common)


class FedAvgM(FedOpt):
    """FedOpt with momentum: m ← beta · m + change; the model moves by lr · m."""

    def __init__(self, model: Any, rounds: int, *, lr: float = 1.0, beta: float = 0.9, **common: Any) -> None:
        super().__init__(model, rounds, optimizer=Momentum(lr, beta), **common)
