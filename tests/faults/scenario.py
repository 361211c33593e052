"""Scenarios of the fault suite: a seed decides what is done to a federation, and what it does meanwhile.

However a scenario goes, every call must have run exactly once, and must end with the right bytes or with an
error of the package, within `LIMIT_S`.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from chain import PLACES, Chain, Mangle, Place, Site, as_it_is
from tcp_proxy import Harm, Kind

from fox_hpc.call import Call
from fox_hpc.errors import FoxError
from fox_hpc.wire.cell import Incoming
from fox_hpc.wire.envelope import Envelope

#: The waits of a chain are a thirtieth of the real ones; what is documented as 150 s is 6 s here.
LIMIT_S = 20.0
#: Bytes of the array of each call: by reference, in the message, by reference.
SIZES = (3_500_000, 1000, 5_000_000)
KINDS: tuple[Kind, ...] = ("cut", "outage", "stall", "slow", "copy", "corrupt")
MANGLES = ("nothing", "lost acks", "double", "late", "out of order")


@dataclass
class Outcome:
    """How a scenario ended."""

    seed: int
    what: list[str] = field(default_factory=list)
    seconds: float = 0.0
    right: int = 0
    errors: list[str] = field(default_factory=list)
    #: What must not be: wrong bytes, a call that ran twice or not at all, one that did not end.
    wrong: list[str] = field(default_factory=list)


def plan(seed: int) -> tuple[dict[Place, list[Harm]], str, bool]:
    """Decide what is done: harms by place, what becomes of messages, whether the relay is restarted."""
    chosen = random.Random(seed)
    harms: dict[Place, list[Harm]] = {place: [] for place in PLACES}
    for _ in range(chosen.choice((1, 1, 2, 3))):
        place = chosen.choice(PLACES)
        data = place.endswith("data")
        # The first bytes, of the greeting and the handshake, are hit as often as all the others.
        at = (
            chosen.randrange(200) if chosen.random() < 0.3 else chosen.randrange(12_000_000 if data else 4500)
        )
        kind = chosen.choice(KINDS)
        seconds = {"outage": 1.5, "slow": 1.0, "stall": chosen.choice((0.0, 0.4))}.get(kind, 0.0)
        harms[place].append(Harm(kind, chosen.choice(("up", "down")), at, seconds))
    return harms, chosen.choice(MANGLES) if chosen.random() < 0.5 else "nothing", chosen.random() < 0.15


def mangle(name: str, seed: int) -> Mangle:
    """Make what the relay does to messages."""
    chosen = random.Random(seed)

    def of(head: Envelope) -> list[float]:
        if name == "lost acks" and head.kind == "ack":
            return []
        if name == "double" and head.kind in ("reply", "call", "ack"):
            return [0.0, chosen.choice((0.0, 0.2))]
        if name == "late" and head.kind == "reply":
            return [chosen.uniform(0.05, 0.5)]
        if name == "out of order" and head.kind in ("reply", "call", "ack", "cancel"):
            return [chosen.uniform(0.01, 0.1)]
        return [0.0]

    return as_it_is if name == "nothing" else of


class Work:
    """What a scenario's sites do, and how often they did it."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.limit_s = limit_s
        self.ran: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, what: str) -> None:
        with self._lock:
            self.ran[what] += 1

    def answer(self, site: Site, incoming: Incoming) -> Any:
        """Run a call: turn the array round; some ask the server to double theirs first."""
        name, array = incoming.call.args
        self.count(f"{name} at {site.name}")
        if name.endswith("asks"):
            asked = site.up.cell.start(Call("double", (name, array), caller=site.name), ["server"])[0].future
            array = asked.result(self.limit_s)
        return array[::-1].copy()

    def serve(self, call: Call) -> Any:
        name, array = call.args
        self.count(f"{name} of {call.caller}")
        return array * 2


def run(seed: int) -> Outcome:
    """Run one scenario."""
    harms, messages, restart = plan(seed)
    outcome, work = Outcome(seed), Work()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        chain = Chain(Path(folder), work.answer, harms=harms, mangle=mangle(messages, seed), serve=work.serve)
        with chain:
            _work(chain, seed, work, outcome, restart=restart)
    outcome.seconds = time.monotonic() - began
    outcome.what = [f"{harm} ({place})" for place, some in harms.items() for harm in some]
    outcome.what += [messages] * (messages != "nothing") + ["relay restarted"] * restart
    return outcome


def run_outage(place: Place, seconds: float, seed: int = 0) -> Outcome:
    """Run a scenario with the waits of a real run: from some byte on, a place lets nobody in for so long.

    The byte is one after the workers have come: one that cannot reach its relay at its start ends.
    """
    chosen = random.Random(f"{place} {seed}")
    harm = Harm("outage", chosen.choice(("up", "down")), chosen.randrange(2800, 4200), seconds)
    if place.endswith("data"):
        harm.at = chosen.randrange(8_000_000)
    began, limit_s = time.monotonic(), seconds + 90.0
    outcome, work = Outcome(seed), Work(limit_s)
    with tempfile.TemporaryDirectory() as folder:
        chain = Chain(Path(folder), work.answer, harms={place: [harm]}, serve=work.serve, real_waits=True)
        with chain:
            _work(chain, seed, work, outcome, limit_s=limit_s)
    outcome.seconds, outcome.what = time.monotonic() - began, [f"{seconds:g} s: {harm} ({place})"]
    # Whoever waits for a minute gets his answer after it, and no error.
    outcome.wrong += outcome.errors
    return outcome


def _work(
    chain: Chain,
    seed: int,
    work: Work,
    outcome: Outcome,
    *,
    restart: bool = False,
    limit_s: float = LIMIT_S,
) -> None:
    numbers = np.random.default_rng(seed)
    calls: list[tuple[str, Any, list[Future[Any]]]] = []
    for number, size in enumerate(SIZES):
        name = f"call {number}" + (" asks" if (seed + number) % 3 == 0 else "")
        array = numbers.integers(0, 100, size // 8)
        calls.append((name, array, chain.call("turn", name, array)))
        if restart and number == 1:
            chain.restart_relay()
    deadline = time.monotonic() + limit_s
    for name, array, futures in calls:
        wanted = (array * 2 if name.endswith("asks") else array)[::-1]
        for site, future in zip(chain.attempts, futures, strict=True):
            _judge(f"{name} at {site}", wanted, future, deadline, outcome)
    for name, times in work.ran.items():
        if times != 1:
            outcome.wrong.append(f"{name} ran {times} times")
    missing = 2 * len(SIZES) - sum(1 for name in work.ran if " at " in name) - len(outcome.errors)
    if missing > 0 and not outcome.wrong:
        outcome.wrong.append(f"{missing} calls did not run")


def _judge(name: str, wanted: Any, future: Future[Any], deadline: float, outcome: Outcome) -> None:
    try:
        value = future.result(max(0.0, deadline - time.monotonic()))
    except FoxError as error:
        outcome.errors.append(f"{name}: {type(error).__name__}: {error}")
    except TimeoutError:
        outcome.wrong.append(f"{name} did not end")
    else:
        if np.array_equal(value, wanted):
            outcome.right += 1
        else:
            outcome.wrong.append(f"{name} gave wrong bytes")
