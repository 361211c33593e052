"""What the controller does with a step after it was launched: hear of its end, end it, sweep behind it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import RUNNING, Job, Step
from fox_hpc.fake.request import Session
from fox_hpc.fake.slurm.times import stamp

LOOK_AGAIN_S = 0.02


@dataclass
class StepEnd:
    """The launching program, whether the job is its own, and how its tasks ended."""

    session: Session
    own_job: bool
    code: int = 0
    signal: int = 0


class Follower:
    """Hears from the launching program until its step is over."""

    def __init__(self, engine: Engine, end: StepEnd, job: Job, step: Step) -> None:
        self._end, self._job, self._step = end, job, step
        self._engine = engine
        self._done = False

    def hear(self, message: Mapping[str, Any]) -> None:
        if "pids" in message:
            self._engine.runner.add_sessions(self._job, message["pids"])
        elif "done" in message:
            self._done = True
            self._end.code, self._end.signal = message["code"], message["signal"]
            self._sweep()
        elif "abort" in message or "terminate" in message:
            self._terminate(said="terminate" in message)

    def _sweep(self) -> None:
        """Nothing of a step outlives its tasks; then the launching program may leave."""
        if self._engine.runner.signal_step(self._job, self._step, signal.SIGKILL):
            self._engine.loop.later(LOOK_AGAIN_S, self._sweep)
            return
        self._engine.step_ended(self._job, self._step, self._end.code, self._end.signal)
        self._end.session.tell({"bye": True})

    def _terminate(self, said: bool) -> None:
        if said:
            node, name = self._step.nodes[0], f"{self._job.id}.{self._step.id}"
            when = stamp(self._engine.now())
            self._end.session.tell(
                {"say": [f"slurmstepd-{node}: error: *** STEP {name} ON {node} CANCELLED AT {when} ***"]}
            )
        runner = self._engine.runner
        runner.signal_step(self._job, self._step, signal.SIGTERM)
        runner.signal_step(self._job, self._step, signal.SIGCONT)

        def kill() -> None:
            if self._step.state == RUNNING:
                runner.signal_step(self._job, self._step, signal.SIGKILL)

        self._engine.loop.later(self._engine.config.kill_wait_s, kill)

    def gone(self) -> None:
        """The launching program has ended, or was killed: so has its step."""
        if not self._done:
            self._done = True
            self._end.signal = signal.SIGKILL
            self._sweep_after_death()
        self._engine.runner.launcher_gone(self._job, self._step)
        if self._end.own_job:
            self._engine.runner.allocation_ended(self._job, self._end.code, self._end.signal)

    def _sweep_after_death(self) -> None:
        if self._engine.runner.signal_step(self._job, self._step, signal.SIGKILL):
            self._engine.loop.later(LOOK_AGAIN_S, self._sweep_after_death)
            return
        self._engine.step_ended(self._job, self._step, 0, signal.SIGKILL)
