"""What dialects do differently with one engine: signals, waits, queues. Plain data."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from fox_hpc.fake.jobs import QUEUES, TIMEOUT, Config, Job, Queue

Rounds = tuple[tuple[int, ...], ...]
"""Signals sent together, and the next ones a wait later; after the last wait comes KILL."""


@dataclass(frozen=True)
class Manners:
    """How one dialect treats its jobs; the defaults are Slurm's."""

    queues: tuple[Queue, ...] = QUEUES
    stop: Rounds = ((signal.SIGTERM, signal.SIGCONT),)
    at_limit: Rounds = ((signal.SIGTERM, signal.SIGCONT),)
    patient_at_limit: bool = False
    """A job that was told of its limit has `Config.limit_wait_s`, not `kill_wait_s`."""
    warns: str = "steps"
    """Whom the warning before the limit reaches, if not the batch shell alone: `steps` or `full`."""
    warns_of_preemption: bool = True
    """Steps get TERM, and the job its grace time, before a preemption."""
    speaks: bool = True
    """Ends are announced in the job's error stream and by the programs that started its steps."""

    def goodbye(self, job: Job, config: Config) -> tuple[Rounds, float]:
        """The signals that end a job which just got its end state, and the wait after each."""
        if job.state != TIMEOUT:
            return self.stop, config.kill_wait_s
        return self.at_limit, config.limit_wait_s if self.patient_at_limit else config.kill_wait_s
