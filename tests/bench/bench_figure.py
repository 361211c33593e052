"""Figure: one thing measured, beside its limit and its peers; and how repeats become one number."""

from __future__ import annotations

import math
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Args:
        limit: what the value should stay below; or above, where more is better.
        peers: what others took for the same work in the same run, in the same unit.
        more: further facts, in the JSON line only.
        at_least: more is better.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    peers: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    at_least: bool = False

    def line(self) -> dict[str, Any]:
        """Give the fields of the JSON line: each peer's value and the ratio to it."""
        line: dict[str, Any] = {
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "limit": None if self.limit is None else rounded(self.limit),
        }
        if self.limit is not None:
            line["ratio_to_limit"] = rounded(self.value / self.limit)
            line["held"] = self.value >= self.limit if self.at_least else self.value <= self.limit
        for peer, value in self.peers.items():
            line[peer] = rounded(value)
            line[f"ratio_to_{peer}"] = rounded(self.value / value)
        return {**line, **self.more}


def rounded(value: float) -> float:
    """Keep four digits: more than that is noise."""
    return float(f"{value:.4g}")


def quantile(values: Sequence[float], part: float) -> float:
    """Give the value that `part` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def take_turns(runners: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Run each in turn, several times over: what else the machine does then falls on all alike."""
    found: dict[str, list[T]] = {name: [] for name in runners}
    for _ in range(repeats):
        for name, runner in runners.items():
            found[name].append(runner())
    return found


def medians(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Give each runner's median."""
    return {name: statistics.median(values) for name, values in found.items()}


def seconds(action: Callable[[], Any]) -> float:
    """Time one action."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def process_ms(command: Sequence[str]) -> float:
    """Time one process from its start to its end."""
    return seconds(lambda: output(command)) * 1e3


def output(command: Sequence[str]) -> str:
    """Run a process and give its stdout; one that fails tells why in the error."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout
