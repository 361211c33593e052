"""Algorithm: what all of them share: a model, how sites are asked, how their answers are read."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..api.context import current
from ..api.fox import fox
from ..api.group_call import GroupCall
from ..call import CallOption
from ..errors import CallError, GroupError, RecipeError
from ..model import FLModel
from .arithmetic import refuse_another_form
from .keys import Keys
from .tree import take_apart
from .weighted import average_on_arrival, weighted_average

log = logging.getLogger(__name__)

#: What `Algorithm` hands on to each call; the other call options are the algorithm's own business.
OPTIONS = ("timeout", "min_success", "parallel", "secure", "ranks", "late")


class Algorithm:
    """Base of the algorithms; a subclass has one `@fox.algo` function that loops over `fox.rounds`.

    What you give is what travels. With weights (name → array, or another tree of arrays) the sites'
    function gets weights and answers (weights, number of samples). With an FLModel it gets an FLModel, with
    `current_round` and `total_rounds`, and answers one with `num_samples` in its `meta`. The arrays that come
    back have the names, kinds (numpy or torch), dtypes and shapes of those that went out.

    Args:
        model: the weights to begin with, or an FLModel that has them as `params`.
        rounds: how many; 1 or more.
        call: the name of the sites' `@fox.collab` function. "execute" is that of FoxClientAPI, for training
            scripts; these are stopped at the end.
        keys: which params travel, e.g. `only("*lora*")`; None lets all travel. The result has all of them.
        after: is called with (number, model) after each round, e.g. to measure the model and keep it.
        **options: options of the calls: timeout, min_success, parallel, secure, ranks; and late, for those
            that average.

    Raises:
        RecipeError: one of these is wrong.
    """

    #: Whether the algorithm has more to send than weights, so that it needs an FLModel.
    needs_flmodel = False
    #: The call options that do not fit the algorithm.
    refused: tuple[str, ...] = ()

    def __init__(
        self,
        model: Any,
        rounds: int,
        *,
        call: str = "train",
        keys: Keys | None = None,
        after: Callable[[int, Any], object] | None = None,
        **options: Any,
    ) -> None:
        self.model, self.rounds, self.call, self.keys, self.after = model, rounds, call, keys, after
        self.options = options
        self._check()

    def _check(self) -> None:
        name = type(self).__name__
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 1:
            raise RecipeError(f"{name} has rounds={self.rounds!r}: a whole number from 1 is right")
        if not self.call.isidentifier() or self.call.startswith("_"):
            raise RecipeError(f"{name} has call={self.call!r}: the name of a @fox.collab function is right")
        for option in self.options:
            if option not in OPTIONS or option in self.refused:
                right = ", ".join(each for each in OPTIONS if each not in self.refused)
                raise RecipeError(f"{name} takes no option {option!r}; its call options are {right}")
        CallOption(**self.options)
        if self.needs_flmodel and not isinstance(self.model, FLModel):
            raise RecipeError(f"{name} sends more than weights: model=FLModel(params=…) is right")
        try:
            if not take_apart(params_of(self.start()))[1]:
                raise ValueError("there are no arrays in it")
        except ValueError as error:
            raise RecipeError(f"the model of {name} cannot be used: {error}") from error

    def start(self) -> Any:
        """Give the model to begin with, as far as it travels."""
        return self.keys(self.model) if self.keys else self.model

    def message(self, model: Any, number: int, **extra: Any) -> Any:
        """Give what is sent in a round; `extra` goes into that of an FLModel."""
        if not isinstance(model, FLModel):
            return model
        return dataclasses.replace(
            model,
            metrics=None,
            meta=self.model.meta,
            extra={**self.model.extra, **extra},
            current_round=number,
            total_rounds=self.rounds,
        )

    def ask(self, model: Any, number: int, sites: Sequence[str] | None = None, **extra: Any) -> Any:
        """Call all sites, or some; gives a GroupCall, or the Results of a late one."""
        chosen = fox.clients if sites is None else fox.clients[list(sites)]
        asked = chosen(**self.options, blocking=self.options.get("late", False))
        return getattr(asked, self.call)(self.message(model, number, **extra))

    def ask_site(self, site: str, model: Any, number: int, **extra: Any) -> Any:
        """Call one site, and do not wait; gives a GroupCall."""
        options = {
            key: value for key, value in self.options.items() if key not in ("min_success", "parallel")
        }
        proxy = fox.clients[site](**options, blocking=False)
        return getattr(proxy, self.call)(self.message(model, number, **extra))

    def each(
        self, model: Any, number: int, extra: Callable[[str], dict[str, Any]]
    ) -> Iterator[tuple[str, Any]]:
        """Call all sites, each with an `extra` of its own, and give (site, answer) in the order of the sites.

        Raises:
            GroupError: at the end, if fewer sites answered than were needed.
        """
        names, failures = fox.clients.site_names, {}
        calls = {site: self.ask_site(site, model, number, **extra(site)) for site in names}
        try:
            for site in names:
                try:
                    answer = calls.pop(site).results()[0]
                except CallError as error:
                    failures[site] = error
                else:
                    yield site, answer
                    del answer
        finally:
            for call in calls.values():
                call.cancel()
        answered, needed = len(names) - len(failures), self.needed(len(names))
        if answered < needed:
            raise GroupError(self.call, failures, answered=answered, needed=needed)

    def needed(self, called: int) -> int:
        """Tell how many of so many sites must answer: `min_success`, or `min_clients`; 1 at least."""
        asked = self.options.get("min_success")
        return max(1, min(current().min_clients, called) if asked is None else asked)

    def mean(self, call: Any, model: Any) -> Any:
        """Average what the sites of a call answer, by their numbers of samples; in the form of `model`."""
        mean = weighted_average(call)
        refuse_another_form(params_of(model), "the sites", params_of(mean))
        if isinstance(model, FLModel) and not isinstance(mean, FLModel):
            return with_params(model, mean)
        return mean if isinstance(model, FLModel) else params_of(mean)

    def equal_mean(self, call: GroupCall, model: Any) -> Any:
        """Average the params that the sites of a call answer, each of which counts the same."""
        return average_on_arrival(call, lambda site, answer: (self.read(site, answer, model), 1.0))

    def answers(
        self, call: GroupCall, model: Any, use: Callable[[Any], Any] = lambda params: params
    ) -> dict[str, Any]:
        """Give what `use` makes of the params of each site that answers as it should; of others, a warning.

        Raises:
            GroupError: fewer such sites are there than were needed.
        """
        found, wrong = {}, {}
        results = call.results()
        for site, answer in results.items():
            try:
                found[site] = use(self.read(site, answer, model))
            except ValueError as error:
                log.warning("%s is left out of the round: %s", site, error)
                wrong[site] = CallError(str(error), site=site, func=self.call)
        needed = self.needed(len(call.called))
        if len(found) < needed:
            failures = {**results.failures, **wrong}
            raise GroupError(self.call, failures, answered=len(found), needed=needed)
        return found

    def read(self, site: str, answer: Any, model: Any) -> Any:
        """Give the params of one answer.

        Raises:
            ValueError: it is no answer, or not of the model's form.
        """
        pair = isinstance(answer, tuple | list) and len(answer) == 2
        if not pair and not isinstance(answer, FLModel):
            what = f"{site} sent a {type(answer).__name__}"
            raise ValueError(f"{what}: a (weights, number of samples) pair or an FLModel is right")
        params = answer.params if isinstance(answer, FLModel) else answer[0]
        refuse_another_form(params_of(model), site, params)
        return params

    def tell(self, number: int, model: Any) -> None:
        """Say how the model is after a round."""
        if self.after is not None:
            self.after(number, self.whole(model))

    def end(self, model: Any) -> Any:
        """Stop training scripts, and give the algorithm's result."""
        if self.call == "execute":
            fox.clients(optional=True).stop()
        return self.whole(model)

    def whole(self, model: Any) -> Any:
        """Give a model with the params that did not travel."""
        if self.keys is None:
            return model
        return with_params(model, self.keys.merge(params_of(self.model), params_of(model)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.rounds} rounds of {self.call}()>"


def params_of(model: Any) -> Any:
    """Give the weights of a model: those of an FLModel, or itself.

    Raises:
        ValueError: it is an FLModel without params.
    """
    if not isinstance(model, FLModel):
        return model
    if model.params is None:
        raise ValueError("the FLModel has no params")
    return model.params


def with_params(model: Any, params: Any) -> Any:
    """Give the same model with other weights."""
    return dataclasses.replace(model, params=params) if isinstance(model, FLModel) else params


def refuse_unless(right: bool, name: str, value: Any, what: str) -> None:
    """Raise RecipeError about an argument of an algorithm, unless it is right."""
    if not right:
        raise RecipeError(f"{name}={value!r}: {what} is right")
