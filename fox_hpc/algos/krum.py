"""Krum and multi-Krum: Blanchard et al. 2017, "Machine Learning with Adversaries"."""

from __future__ import annotations

from typing import Any

from ..api.fox import fox
from .algorithm import Algorithm, refuse_unless, with_params
from .robust import krum_scores
from .weighted import weighted_average


class Krum(Algorithm):
    """The next model is the one that has the nearest others, or the mean of the best `keep` of them.

    Holds against `byzantine` sites; an answer of another form is left out. Of equal ones the first site's is
    taken. All answers are held until the last has come.

    Args:
        byzantine: how many sites may send anything; 2 · byzantine + 3 must answer.
        keep: 1 is Krum, more is multi-Krum, whose best count the same. `Algorithm` has the other arguments.
    """

    refused = ("late",)

    def __init__(self, model: Any, rounds: int, *, byzantine: int, keep: int = 1, **common: Any) -> None:
        refuse_unless(isinstance(byzantine, int) and byzantine >= 0, "byzantine", byzantine, "0 or more")
        refuse_unless(isinstance(keep, int) and keep >= 1, "keep", keep, "1 or more")
        self.byzantine, self.keep = byzantine, keep
        super().__init__(model, rounds, **common)

    @fox.algo
    def run(self) -> Any:
        """Run the rounds, and give the last model in the form of the first."""
        model = self.start()
        for number in fox.rounds(self.rounds):
            answers = list(self.answers(self.ask(model, number), model).values())
            least = max(2 * self.byzantine + 3, self.keep + self.byzantine)
            if len(answers) < least:
                many = f"byzantine={self.byzantine} and keep={self.keep} need {least}"
                raise ValueError(f"Krum: {len(answers)} sites answered as they should, {many}")
            scores = krum_scores(answers, self.byzantine)
            best = sorted(range(len(answers)), key=scores.__getitem__)[: self.keep]
            model = with_params(model, weighted_average([(answers[each], 1) for each in sorted(best)]))
            self.tell(number, model)
        return self.end(model)
