"""FLModel: what server and sites pass to each other in the Client API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class FLModel:
    """A model on its way between server and site.

    Args:
        params: name → array (numpy or torch), the weights.
        optimizer_params: state of the optimizer, if it travels.
        metrics: name → number, measured on `params`.
        meta: facts about the training, e.g. `{"num_samples": 640}`.
        current_round: counts from 0.
        total_rounds: how many rounds the algorithm means to make.
        extra: any further named values, e.g. personal weights or prototypes.
    """

    params: dict[str, Any] | None = None
    optimizer_params: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    current_round: int | None = None
    total_rounds: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
