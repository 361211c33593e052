"""Coordinate-wise median: Yin et al. 2018, "Byzantine-Robust Distributed Learning"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, with_params
from .robust import sorted_mean


class CoordinateMedian(Algorithm):
    """Each number of the next model is the median of what the sites send; each of them counts the same.

    Holds against fewer than half of the sites, whatever they send; an answer of another form is left out.
    Arguments are those of `Algorithm`. All answers are held until the last has come.
    """

    refused = ("late",)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        model = self.start()
        for number in fox.rounds(self.rounds):
            answers = list(self.answers(self.ask(model, number), model).values())
            model = with_params(model, sorted_mean(answers, (len(answers) - 1) // 2))
            self.tell(number, model)
        return self.end(model)
