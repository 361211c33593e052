"""The far half of a parallel launch: start the tasks, carry their output, report how each ended.

The controller has decided everything (which task on which node, with which environment); this runs inside
the launching program, so that its standard streams are the tasks'.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from typing import IO, Any

from fox_hpc.fake.line import Line

FORWARDED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGHUP)


def launch(line: Line, plan: dict[str, Any]) -> int:
    """Run the tasks of one step; gives the exit code of the launching program."""
    return _Launch(line, plan).run()


class _Launch:
    def __init__(self, line: Line, plan: dict[str, Any]) -> None:
        self._line, self._plan = line, plan
        # Only srun reports on its step, and ends it in steps of its own; the others just pass signals on.
        self._speaks = plan.get("speaks", True)
        self._tasks: dict[int, subprocess.Popen[bytes]] = {}
        self._ended: dict[int, int] = {}
        self._files: dict[str, IO[bytes]] = {}
        self._selector = selectors.DefaultSelector()
        self._wakeup_read, self._wakeup_write = os.pipe()
        self._said_cancelled = False
        self._interrupted_at = 0.0
        self._first_end = 0.0
        self._aborted = False

    def run(self) -> int:
        self._watch_signals()
        for task in self._plan["tasks"]:
            self._start(task)
        self._line.send({"pids": [task.pid for task in self._tasks.values()]})
        self._feed_stdin()
        self._selector.register(self._line.socket, selectors.EVENT_READ, self._from_controller)
        self._selector.register(self._wakeup_read, selectors.EVENT_READ, self._from_signals)
        self._collect()
        while len(self._ended) < len(self._plan["tasks"]):
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._collect()
        code, number = self._worst()
        self._line.send({"done": True, "code": code, "signal": number})
        self._drain_output()
        while (message := self._line.receive()) is not None and "bye" not in message:
            continue
        self._report()
        return code or (128 + number if number else 0)

    def _start(self, task: dict[str, Any]) -> None:
        env = {**self._plan["env"], **task["env"]}
        argv = self._plan["argv"]
        program = _find(argv[0], env.get("PATH"), self._plan["cwd"])
        stdout, stderr = self._stream(task, "stdout", 1), self._stream(task, "stderr", 2)
        if task.get("stderr") == "stdout":
            stderr = subprocess.STDOUT
        try:
            if program is None:
                raise FileNotFoundError(2, "No such file or directory")
            process = subprocess.Popen(
                argv,
                executable=program,
                env=env,
                cwd=self._plan["cwd"],
                stdin=self._stdin(),
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            node = task["node"]
            self._say(f"slurmstepd-{node}: error: execve(): {argv[0]}: {os.strerror(error.errno or 2)}")
            self._note_end(task["rank"], error.errno or 2)
            return
        self._tasks[task["rank"]] = process
        for name in ("stdout", "stderr"):
            pipe = getattr(process, name)
            if pipe is not None:
                self._label(pipe, task["rank"], 1 if name == "stdout" else 2)

    def _stdin(self) -> int | None:
        if self._plan["stdin"] == "none":
            return subprocess.DEVNULL
        return None if len(self._plan["tasks"]) == 1 or not _has_input() else subprocess.PIPE

    def _stream(self, task: dict[str, Any], name: str, number: int) -> Any:
        path = task.get(name)
        if path and path != "stdout":
            if path not in self._files:
                self._files[path] = open(path, self._plan["mode"])  # noqa: SIM115, PTH123
            return self._files[path]
        return subprocess.PIPE if self._plan["label"] else number

    def _label(self, pipe: IO[bytes], rank: int, number: int) -> None:
        """Copy a task's lines to ours, each with the task's number before it."""
        width = len(str(len(self._plan["tasks"]) - 1))
        rest = [b""]

        def copy() -> None:
            data = os.read(pipe.fileno(), 1 << 16)
            lines = (rest[0] + data).split(b"\n")
            rest[0] = lines.pop() if data else b""
            for text in lines if data else [t for t in lines if t]:
                os.write(number, f"{rank:{width}d}: ".encode() + text + b"\n")
            if not data:
                self._selector.unregister(pipe)
                pipe.close()

        self._selector.register(pipe, selectors.EVENT_READ, copy)

    def _feed_stdin(self) -> None:
        """Several tasks each get all of our input."""
        pipes = [task.stdin for task in self._tasks.values() if task.stdin is not None]
        if not pipes:
            return

        def copy() -> None:
            while data := os.read(0, 1 << 16):
                for pipe in pipes:
                    with contextlib.suppress(OSError):
                        pipe.write(data)
                        pipe.flush()
            for pipe in pipes:
                with contextlib.suppress(OSError):
                    pipe.close()

        threading.Thread(target=copy, daemon=True).start()

    def _watch_signals(self) -> None:
        os.set_blocking(self._wakeup_write, False)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGCONT, *FORWARDED):
            signal.signal(number, lambda *_: None)

    def _from_signals(self) -> None:
        for number in os.read(self._wakeup_read, 256):
            if number in FORWARDED or (not self._speaks and number in (signal.SIGINT, signal.SIGTERM)):
                self._signal_tasks(number)
            elif number == signal.SIGTERM:
                self._say("srun: forcing job termination")
                self._abort()
            elif number == signal.SIGCONT:
                self._say("srun: got SIGCONT")
            elif number == signal.SIGINT:
                self._interrupt()

    def _interrupt(self) -> None:
        """A second Ctrl-C within a second ends the step, as the first one says."""
        if time.monotonic() - self._interrupted_at < 1:
            self._say("srun: sending Ctrl-C to " + self._plan["step"])
            self._abort(signal.SIGINT)
            return
        self._interrupted_at = time.monotonic()
        self._say("srun: interrupt (one more within 1 sec to abort)")
        running = sorted(set(self._tasks) - set(self._ended))
        self._say(f"srun: {self._plan['step']} {_tasks(running)}: running")

    def _from_controller(self) -> None:
        if not self._line.fill():
            self._selector.unregister(self._line.socket)
            self._signal_tasks(signal.SIGKILL)
            return
        while (message := self._line.buffered()) is not None:
            for text in message.get("say", ()):
                self._say(text)

    def _abort(self, number: int = signal.SIGTERM) -> None:
        self._aborted = True
        self._signal_tasks(number)
        self._line.send({"abort": True})

    def _signal_tasks(self, number: int) -> None:
        for rank, task in self._tasks.items():
            if rank not in self._ended:
                with contextlib.suppress(ProcessLookupError):
                    task.send_signal(number)

    def _collect(self) -> None:
        for rank, task in self._tasks.items():
            if rank not in self._ended and task.poll() is not None:
                self._note_end(rank, task.returncode)
        waited = self._plan["wait"]
        if waited and self._first_end and time.monotonic() - self._first_end > waited:
            self._terminate()

    def _note_end(self, rank: int, returncode: int) -> None:
        self._ended[rank] = returncode
        self._first_end = self._first_end or time.monotonic()
        self._line.send({"task": rank, "code": max(0, returncode), "signal": max(0, -returncode)})
        if returncode and self._plan["kill_on_bad_exit"]:
            self._terminate()

    def _terminate(self) -> None:
        if not self._aborted and len(self._ended) < len(self._plan["tasks"]):
            self._say(f"srun: launch/slurm: _step_signal: Terminating {self._plan['step']}")
            self._line.send({"terminate": True})
            self._aborted = True

    def _patience(self) -> float | None:
        waited = self._plan["wait"]
        return max(0.01, self._first_end + waited - time.monotonic()) if waited and self._first_end else None

    def _worst(self) -> tuple[int, int]:
        code = max([0, *(value for value in self._ended.values() if value > 0)])
        number = max([0, *(-value for value in self._ended.values() if value < 0)])
        return (0, number) if number and 128 + number > code else (code, 0)

    def _drain_output(self) -> None:
        """What the tasks wrote last; what their children still hold open is not waited for."""
        while self._plan["label"] and (events := self._selector.select(0)):
            labels = [key for key, _ in events if key.fileobj not in (self._line.socket, self._wakeup_read)]
            if not labels:
                return
            for key in labels:
                key.data()

    def _report(self) -> None:
        """One line for each node and way to end, as the real launcher words it."""
        groups: dict[tuple[str, str], list[int]] = {}
        for task in self._plan["tasks"]:
            value = self._ended[task["rank"]]
            if value:
                groups.setdefault((task["node"], _ending(value)), []).append(task["rank"])
        for (node, ending), ranks in groups.items():
            self._say(f"srun: error: {node}: {_tasks(ranks)}: {ending}")
        if any(value < 0 for value in self._ended.values()):
            self._say(f"srun: Force Terminated {self._plan['step']}")

    def _say(self, text: str) -> None:
        if self._speaks:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def _ending(returncode: int) -> str:
    if returncode > 0:
        return f"Exited with exit code {returncode}"
    return signal.strsignal(-returncode) or f"signal {-returncode}"


def _tasks(ranks: list[int]) -> str:
    from fox_hpc.fake.hostlist import ranges

    return f"task {ranks[0]}" if len(ranks) == 1 else f"tasks {ranges(ranks)}"


def _find(program: str, path: str | None, cwd: str) -> str | None:
    """Where the program is, seen from the step's own PATH and work folder."""
    if "/" in program:
        return os.path.join(cwd, program)  # noqa: PTH118
    for folder in (path or "").split(":"):
        full = os.path.join(folder, program)  # noqa: PTH118
        if folder and os.access(full, os.X_OK):
            return full
    return None


def _has_input() -> bool:
    """Whether our input is worth copying: /dev/null is not."""
    try:
        return not os.path.samestat(os.fstat(0), os.stat(os.devnull))  # noqa: PTH116
    except OSError:
        return False
