"""Coordinate-wise trimmed mean: Yin et al. 2018, "Byzantine-Robust Distributed Learning"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, refuse_unless, with_params
from .robust import sorted_mean


class TrimmedMean(Algorithm):
    """Each number of the next model is the mean of what the sites send, without the least and the greatest.

    Holds against a part `trim` of the sites; an answer of another form is left out. Each site counts the
    same. All answers are held until the last has come.

    Args:
        trim: the part of the answers that is left out at each end, from 0 to below 0.5; rounded down to a
            number of answers. `Algorithm` has the other arguments.
    """

    refused = ("late",)

    def __init__(self, model: Any, rounds: int, *, trim: float = 0.2, **common: Any) -> None:
        refuse_unless(0 <= trim < 0.5, "trim", trim, "a part from 0 to below 0.5")
        self.trim = trim
        super().__init__(model, rounds, **common)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        model = self.start()
        for number in fox.rounds(self.rounds):
            answers = list(self.answers(self.ask(model, number), model).values())
            cut = int(self.trim * len(answers) + 1e-9)  # 0.29 * 100 is just below 29
            model = with_params(model, sorted_mean(answers, cut))
            self.tell(number, model)
        return self.end(model)
