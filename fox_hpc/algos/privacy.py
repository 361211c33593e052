"""Differential privacy: clipping, Gaussian noise, and what they cost together.

The cost is that of the Gaussian mechanism under Rényi differential privacy (Mironov 2017), computed by
Google's dp-accounting. Neighbours differ in one whole site, or in what was clipped as one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra
from .algorithm import refuse_unless
from .arithmetic import computed, distance, is_whole, refuse_another_form
from .tree import take_apart

if TYPE_CHECKING:
    import numpy as np


def clip_update(params: Any, received: Any, max_norm: float) -> Any:
    """Give `params`, moved towards `received` until they are no further from it than `max_norm`.

    Args:
        params: what a site would send; a tree of arrays, without whole numbers.
        received: what it was sent, of the same form.
        max_norm: the greatest Euclidean distance, over all numbers together.

    Raises:
        ValueError: the trees differ in form, or there are whole or infinite numbers in them.
    """
    refuse_unless(0 < max_norm < math.inf, "max_norm", max_norm, "a number above 0")
    refuse_another_form(received, "the site", params)
    refuse_whole(params)
    norm = distance(params, received)
    if not math.isfinite(norm):
        raise ValueError("the update is not finite, so that it cannot be clipped")
    if norm <= max_norm:
        return params
    share = max_norm / norm
    return computed(lambda y, x: x + share * (y - x), params, received)


def add_noise(params: Any, deviation: float, random: np.random.Generator | None = None) -> Any:
    """Give `params` with Gaussian noise of this standard deviation on each number.

    Args:
        params: a tree of arrays, without whole or complex numbers.
        deviation: e.g. noise_multiplier * max_norm for one site's clipped update.
        random: numpy's generator; None takes a new one, which nobody can foretell. One with a seed
            hides nothing from who knows the seed.
    """
    import numpy as np

    refuse_unless(0 <= deviation < math.inf, "deviation", deviation, "0 or a positive number")
    refuse_whole(params)
    generator = np.random.default_rng() if random is None else random
    return computed(lambda x: x + generator.normal(0.0, deviation, x.shape), params)


def refuse_whole(params: Any) -> None:
    """Raise ValueError if there are numbers that noise does not hide."""
    for path, array in take_apart(params)[1].items():
        if is_whole(array) or "complex" in str(array.dtype):
            raise ValueError(
                f"{path} is of {array.dtype}, which gets no noise: leave it out by keys=without(…)"
            )


def epsilon_spent(noise_multiplier: float, steps: int, delta: float, sampling_rate: float = 1.0) -> float:
    """Give the epsilon of (epsilon, delta) differential privacy after so many noisy sums.

    Args:
        noise_multiplier: the noise's standard deviation over the clipping norm, on the sum.
        steps: how many sums were published, e.g. rounds.
        delta: e.g. below 1 / number of those who are protected.
        sampling_rate: the chance of each to take part in a step, independently of the others (Poisson).

    Raises:
        MissingExtra: dp-accounting is not installed.
    """
    refuse_unless(noise_multiplier > 0, "noise_multiplier", noise_multiplier, "a number above 0")
    _check_steps(steps, delta, sampling_rate)
    accountant = _rdp().RdpAccountant()
    accountant.compose(_event(noise_multiplier, steps, sampling_rate))
    return float(accountant.get_epsilon(delta))


def noise_multiplier_for(epsilon: float, steps: int, delta: float, sampling_rate: float = 1.0) -> float:
    """Give the least noise_multiplier with which so many steps stay within (epsilon, delta).

    The arguments are those of `epsilon_spent`.

    Raises:
        MissingExtra: dp-accounting is not installed.
    """
    refuse_unless(epsilon > 0, "epsilon", epsilon, "a number above 0")
    _check_steps(steps, delta, sampling_rate)
    rdp = _rdp()
    from dp_accounting import calibrate_dp_mechanism

    return float(
        calibrate_dp_mechanism(
            rdp.RdpAccountant, lambda noise: _event(noise, steps, sampling_rate), epsilon, delta
        )
    )


def check_cost(max_norm: float, noise_multiplier: float, sampling_rate: float) -> None:
    """Raise RecipeError if one of what a private sum is made by is wrong."""
    refuse_unless(0 < max_norm < math.inf, "max_norm", max_norm, "a number above 0")
    refuse_unless(noise_multiplier >= 0, "noise_multiplier", noise_multiplier, "0 or a positive number")
    refuse_unless(0 < sampling_rate <= 1, "sampling_rate", sampling_rate, "a chance above 0, up to 1")


def _check_steps(steps: int, delta: float, sampling_rate: float) -> None:
    refuse_unless(isinstance(steps, int) and steps >= 1, "steps", steps, "a whole number from 1")
    refuse_unless(0 < delta < 1, "delta", delta, "a number between 0 and 1")
    refuse_unless(0 < sampling_rate <= 1, "sampling_rate", sampling_rate, "a chance above 0, up to 1")


def _event(noise_multiplier: float, steps: int, sampling_rate: float) -> Any:
    import dp_accounting as dp

    one = dp.GaussianDpEvent(noise_multiplier)
    return dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(sampling_rate, one), steps)


def _rdp() -> Any:
    try:
        from dp_accounting import rdp
    except ImportError as error:
        raise MissingExtra("dp-accounting", "privacy", "what differential privacy costs") from error
    return rdp
