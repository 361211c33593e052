"""The processes of jobs: started, signalled, and followed until the last one is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fox_hpc.fake import processes
from fox_hpc.fake.jobs import COMPLETED, FAILED, LAUNCH_FAILED, RUNNING, Config, Job, Step
from fox_hpc.fake.loop import Loop
from fox_hpc.fake.manners import Manners

LOOK_AGAIN_S = 0.03


class Owner(Protocol):
    """Who holds the jobs' state, and hears how their processes fared."""

    config: Config
    folder: Path
    loop: Loop

    def now(self) -> float: ...

    def ended(self, job: Job, code: int, number: int) -> None:
        """Hear that the job's own process ended."""

    def released(self, job: Job) -> None:
        """Hear that no process of the job is left."""

    def note(self, job: Job) -> None:
        """Hear that something about the job changed."""


class Launcher(Protocol):
    """The far end of one step: the program that started its tasks."""

    def tell(self, message: dict[str, Any]) -> None: ...


class Face(Protocol):
    """What a dialect adds to a job that starts."""

    manners: Manners

    def environ(self, job: Job) -> dict[str, str]:
        """Give the environment of its script."""

    def file_name(self, job: Job, pattern: str) -> str:
        """Give the file that one of its patterns means."""


@dataclass
class _Live:
    """What is known of a job's processes while it holds its nodes."""

    pid: int = 0
    sessions: set[int] = field(default_factory=set)
    stderr: int = -1
    launchers: dict[int, Launcher] = field(default_factory=dict)
    launcher_pids: dict[int, int] = field(default_factory=dict)
    kill_at: float = 0.0
    told_steps: bool = False
    own_ended: bool = False
    followed: bool = False


class Runner:
    """Acts for the engine, and tells it how things ended."""

    def __init__(self, engine: Owner, face: Face) -> None:
        self._engine, self._face = engine, face
        self._live: dict[int, _Live] = {}
        self.spared: set[int] = set()
        """Processes that no signal but KILL is sent to now."""
        self.cluster = engine.folder.name + "-" + os.urandom(4).hex()

    def start(self, job: Job) -> None:
        """Start the batch script; a job without one is only given its nodes."""
        live = self._live[job.id] = _Live()
        if not job.batch:
            return
        try:
            process = self._spawn(job, live)
        except OSError as error:
            self._could_not_start(job, error)
            return
        live.pid = job.pid = process.pid
        live.sessions.add(process.pid)
        self._engine.loop.on_child(process.pid, lambda status: self._batch_ended(job, status, process))

    def _spawn(self, job: Job, live: _Live) -> subprocess.Popen[bytes]:
        script = self._script(job)
        with contextlib.ExitStack() as files:
            mode = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if job.append or job.restarts else os.O_TRUNC)

            def opened(path: str, flags: int) -> int:
                number = os.open(Path(job.workdir, self._face.file_name(job, path)), flags, 0o666)
                files.callback(os.close, number)
                return number

            try:
                stdin = opened(job.stdin, os.O_RDONLY)
                stdout = opened(job.stdout, mode)
                stderr = stdout if job.stderr == job.stdout else opened(job.stderr, mode)
                os.stat(job.workdir)  # noqa: PTH116
            except OSError as error:
                raise _NoOutput(error.errno, str(error)) from error
            live.stderr = os.dup(stderr)
            env = {**self._face.environ(job), processes.TAG: f"{self.cluster}:{job.id}",
                   processes.NODE_TAG: job.nodes[0]}  # fmt: skip
            return subprocess.Popen(
                [str(script), *job.args], stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=job.workdir,
                start_new_session=True,
            )  # fmt: skip

    def _script(self, job: Job) -> Path:
        folder = self._engine.folder / "jobs" / str(job.id)
        script = folder / "slurm_script"
        if not job.restarts:
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            script.write_text(job.script)
            script.chmod(0o700)
        return script

    def _could_not_start(self, job: Job, error: OSError) -> None:
        code, number = (0, LAUNCH_FAILED) if isinstance(error, _NoOutput) else (error.errno or 2, 0)
        if not isinstance(error, _NoOutput) and self._face.manners.speaks:
            words = f"slurmstepd-{job.nodes[0]}: error: execve(): {error.filename}: {error.strerror}\n"
            self._write(job, words)
        self._own_ended(job, code, number)

    def _batch_ended(self, job: Job, status: int, process: subprocess.Popen[bytes]) -> None:
        # The loop has collected it: without this the Popen object would warn about a running child.
        process.returncode = os.waitstatus_to_exitcode(status)
        code = process.returncode
        self._own_ended(job, max(0, code), max(0, -code))

    def _own_ended(self, job: Job, code: int, number: int) -> None:
        step = job.batch_step
        live = self._live[job.id]
        live.own_ended = True
        if live.kill_at:
            # What its own process leaves behind has no more than the short wait.
            live.kill_at = min(live.kill_at, self._engine.now() + self._engine.config.kill_wait_s)
        if step:
            _close(step, code, number, self._engine.now())
        self._engine.ended(job, code, number)
        self._follow(job)

    def allocation_ended(self, job: Job, code: int, number: int) -> None:
        """The program that a job without a script was made for has ended."""
        if job.id in self._live:
            self._own_ended(job, code, number)

    def stop(self, job: Job, words: str) -> None:
        """TERM to everything, KILL after the wait; tells the job's error stream why."""
        live = self._live[job.id]
        rounds, wait_s = self._face.manners.goodbye(job, self._engine.config)
        live.kill_at = self._engine.now() + wait_s * len(rounds)
        if self._face.manners.speaks:
            self._announce(job, live, words)
        live.told_steps = True
        if not job.batch:
            live.own_ended = True
        self._send_round(job, live, rounds[0])
        for number, signals in enumerate(rounds[1:], 1):
            self._engine.loop.later(number * wait_s, partial(self._send_round, job, live, signals))
        self._follow(job)

    def _send_round(self, job: Job, live: _Live, signals: tuple[int, ...]) -> None:
        if self._live.get(job.id) is live:
            for number in signals:
                self.signal(job, number, "full")

    def _announce(self, job: Job, live: _Live, words: str) -> None:
        if job.batch:
            self._write(
                job, f"slurmstepd-{job.nodes[0]}: error: *** JOB {job.id} ON {job.nodes[0]} {words} ***\n"
            )
        for step in (step for step in job.steps if step.id in live.launchers):
            node, name = step.nodes[0], f"{job.id}.{step.id}"
            lines = [
                f"slurmstepd-{node}: error: *** STEP {name} ON {node} {words} ***",
                "srun: Job step aborted: Waiting up to 7 seconds for job step to finish.",
            ]
            live.launchers[step.id].tell({"say": lines})

    def tell_steps(self, job: Job, lines: list[str]) -> None:
        for launcher in list(self._live[job.id].launchers.values()):
            launcher.tell({"say": lines})

    def signal(self, job: Job, number: int, target: str) -> None:
        """Signal `steps` (their processes only), `batch` (the batch shell alone) or `full` (all)."""
        live = self._live.get(job.id)
        if live is None or target == "batch":
            if live and live.pid and not live.own_ended:
                os.kill(live.pid, number)
            return
        spared = self.spared | set(live.launcher_pids.values())
        for process, step in self._processes(job):
            if (target == "full" or step) and process.pid not in spared:
                processes.send(process, number)

    def signal_step(self, job: Job, step: Step, number: int) -> bool:
        """Signal one step's processes; False if it has none left."""
        if job.id not in self._live:
            return False
        found = [p for p, name in self._processes(job) if name == f"{job.id}.{step.id}"]
        for process in found:
            if number == signal.SIGKILL or process.pid not in self.spared:
                processes.send(process, number)
        return bool(found)

    def kill_node(self, node: str) -> None:
        for process in processes.on_node(self.cluster, node):
            processes.send(process, signal.SIGKILL)

    def add_step(self, job: Job, step: Step, launcher: Launcher, pid: int = 0) -> None:
        """Follow a step; signals to the job pass by the launcher `pid`, which would hand them on again."""
        self._live[job.id].launchers[step.id] = launcher
        self._live[job.id].launcher_pids |= {step.id: pid} if pid else {}

    def add_sessions(self, job: Job, pids: list[int]) -> None:
        """Tasks that lead sessions of their own."""
        if job.id in self._live:
            self._live[job.id].sessions.update(pids)

    def step_ended(self, job: Job, step: Step, code: int, number: int) -> None:
        if step.state == RUNNING:
            _close(step, code, number, self._engine.now())
            job.derived_code = max(job.derived_code, code)
            self._engine.note(job)

    def launcher_gone(self, job: Job, step: Step) -> None:
        if live := self._live.get(job.id):
            live.launchers.pop(step.id, None)
            live.launcher_pids.pop(step.id, None)

    def _processes(self, job: Job) -> list[tuple[Any, str]]:
        return processes.of_job(self.cluster, job.id, self._live[job.id].sessions)

    def _follow(self, job: Job) -> None:
        """Look whether the job's processes are gone, again and again, killing what stays too long."""
        live = self._live[job.id]
        self._look(job, live)
        if self._live.get(job.id) is live and not live.followed:
            live.followed = True
            self._engine.loop.later(LOOK_AGAIN_S, lambda: self._look_again(job, live))

    def _look_again(self, job: Job, live: _Live) -> None:
        if self._live.get(job.id) is live:
            live.followed = False
            self._follow(job)

    def _look(self, job: Job, live: _Live) -> None:
        now = self._engine.now()
        live.kill_at = live.kill_at or now + self._engine.config.kill_wait_s
        found = self._processes(job)
        if not found and live.own_ended:
            self._release(job, live)
            return
        if live.own_ended and not live.told_steps:
            live.told_steps = True
            for number in (signal.SIGCONT, signal.SIGTERM):
                self.signal(job, number, "steps")
        steps_left = any(step for _, step in found) or bool(live.launchers)
        if now >= live.kill_at or (live.own_ended and not steps_left):
            for process, _ in found:
                processes.send(process, signal.SIGKILL)

    def _release(self, job: Job, live: _Live) -> None:
        for step in job.steps:
            if step.state == RUNNING:
                _close(step, 0, signal.SIGKILL, self._engine.now())
        if live.stderr >= 0:
            os.close(live.stderr)
        del self._live[job.id]
        self._engine.released(job)

    def _write(self, job: Job, text: str) -> None:
        if self._live[job.id].stderr >= 0:
            with contextlib.suppress(OSError):
                os.write(self._live[job.id].stderr, text.encode())


class _NoOutput(OSError):
    """The job's output file or work folder cannot be opened."""


def _close(step: Step, code: int, number: int, now: float) -> None:
    step.ended, step.code, step.signal = now, code, number
    step.state = "CANCELLED" if number else FAILED if code else COMPLETED
    step.by = None
