"""Which parameters travel: `only("*lora*")` and `without("head.*")`, at the server and at the sites."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RecipeError
from ..model import FLModel

Pattern = str | re.Pattern[str]


@dataclass(frozen=True)
class Keys:
    """A choice of parameters by name.

    | usage | gives |
    | --- | --- |
    | `keys(weights)` | the chosen ones of name → array |
    | `keys(FLModel(…))`, `keys((weights, 10))` | the same with the chosen `params`, or weights, only |
    | `keys.merge(weights, received)` | all of `weights`, the chosen ones as received |

    Args:
        patterns: globs of whole names (`*` also stands for dots), or compiled regular expressions that are
            searched for.
        chosen: whether a name that fits one of them is chosen, or is left out.
    """

    patterns: tuple[Pattern, ...]
    chosen: bool = True

    def __post_init__(self) -> None:
        who = "only" if self.chosen else "without"
        if not self.patterns or not all(isinstance(each, str | re.Pattern) for each in self.patterns):
            raise RecipeError(f"{who}{self.patterns!r}: one or more globs or compiled expressions are right")

    def choose(self, name: str) -> bool:
        """Tell whether a parameter of this name travels."""
        return self.chosen == any(_fits(pattern, name) for pattern in self.patterns)

    def __call__(self, value: Any) -> Any:
        """Leave out what does not travel; arrays are not copied.

        Raises:
            ValueError: nothing is left, or there are no names to choose by.
        """
        if isinstance(value, FLModel):
            return dataclasses.replace(value, params=self(value.params))
        if isinstance(value, tuple) and len(value) == 2:
            return self(value[0]), value[1]
        if not isinstance(value, Mapping):
            raise ValueError(f"{self} chooses by name: name → array is right, not {type(value).__name__}")
        found = {name: array for name, array in value.items() if self.choose(name)}
        if not found:
            raise ValueError(f"{self} chooses none of {', '.join(map(str, value)) or 'no parameters'}")
        return found

    def merge(self, weights: Mapping[str, Any], received: Mapping[str, Any]) -> dict[str, Any]:
        """Give `weights` with what was received in its place.

        Raises:
            ValueError: something was received that `weights` does not have, or that does not travel.
        """
        for name in received:
            if name not in weights or not self.choose(name):
                raise ValueError(f"{name} was received, and is not among what travels by {self}")
        return {**weights, **received}

    def __str__(self) -> str:
        shown = ", ".join(repr(each if isinstance(each, str) else each.pattern) for each in self.patterns)
        return f"{'only' if self.chosen else 'without'}({shown})"


def _fits(pattern: Pattern, name: str) -> bool:
    if isinstance(pattern, str):
        return fnmatch.fnmatchcase(name, pattern)
    return pattern.search(name) is not None


def only(*patterns: Pattern) -> Keys:
    """Choose parameters whose name fits a pattern: `only("*lora*")`, `only(re.compile(r"\\.[AB]$"))`."""
    return Keys(patterns)


def without(*patterns: Pattern) -> Keys:
    """Choose all other parameters: `without("*running_mean", "*running_var")`."""
    return Keys(patterns, chosen=False)
