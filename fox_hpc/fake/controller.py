"""The controller of one spool: `python -m fox_hpc.fake.controller SPOOL LIFELINE`.

Owns all state, starts all jobs, answers the programs on PATH over a unix socket. It lives as long as
the other end of the pipe LIFELINE (a file descriptor) is open: when its owner dies, however that
happens, it kills every job's processes and leaves.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pwd
import shutil
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from fox_hpc.fake import processes
from fox_hpc.fake.control import AnswerLost, set_trouble
from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Config
from fox_hpc.fake.line import Line
from fox_hpc.fake.loop import Loop
from fox_hpc.fake.request import Refused, Request, Session
from fox_hpc.fake.runner import Face
from fox_hpc.fake.trouble import PROGRAM

SOCKET_PATH_LIMIT = 100
WRITE_STATE_EVERY_S = 0.2
SPARED_S = 5.0
LAUNCHERS = ("srun", "pbsdsh", "pbs_tmrsh", "blaunch", "jsrun")


class Dialect(Face, Protocol):
    """What the controller needs of a dialect."""

    @property
    def engine(self) -> Callable[[Config, Path, Loop, Face], Engine]: ...

    @property
    def programs(self) -> Mapping[str, Callable[[Engine, Request, Session], None]]: ...


def face_of(config: Config, folder: Path) -> Dialect:
    """Give a dialect's face; the others are not loaded, which is half of what a start takes."""
    if config.dialect == "pbs":
        from fox_hpc.fake.pbs.face import PbsFace

        return PbsFace(config, folder)
    if config.dialect == "lsf":
        from fox_hpc.fake.lsf.face import LsfFace

        return LsfFace(config, folder)
    from fox_hpc.fake.slurm.face import SlurmFace

    return SlurmFace(config, folder)


class Connection:
    """One program on the other end of a socket."""

    def __init__(self, loop: Loop, sock: socket.socket, dispatch: Callable[[Request, Connection], None]):
        self._loop, self._line, self._dispatch = loop, Line(sock), dispatch
        self._on_message: Callable[[dict[str, Any]], None] = self._first
        self._on_close: Callable[[], None] = lambda: None
        self._open = True
        # A program that was stopped must not stop the whole cluster.
        sock.settimeout(5)
        loop.on_readable(sock, self._readable)

    def tell(self, message: dict[str, Any]) -> None:
        if self._open:
            try:
                self._line.send(message)
            except OSError:
                self.close()

    def reply(self, out: str = "", err: str = "", code: int = 0) -> None:
        self.tell({"out": out, "err": err, "code": code})
        self.close()

    def listen(self, on_message: Callable[[dict[str, Any]], None], on_close: Callable[[], None]) -> None:
        self._on_message, self._on_close = on_message, on_close

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.forget(self._line.socket)
            self._line.socket.close()
            self._on_close()

    def _readable(self) -> None:
        try:
            more = self._line.fill()
        except OSError:
            more = False
        while self._open and (message := self._line.buffered()) is not None:
            self._on_message(message)
        if not more:
            self.close()

    def _first(self, message: dict[str, Any]) -> None:
        request = Request(**message)
        if not request.user:
            request = Request(**{**message, "user": _user_name(request.uid)})
        self._dispatch(request, self)


class Controller:
    """Ties the loop, the engine and the programs' faces together."""

    def __init__(self, folder: Path, lifeline: int) -> None:
        self.folder, self._lifeline = folder, lifeline
        self.config = Config.from_mapping(json.loads((folder / "config.json").read_text()))
        self.loop = Loop()
        self._face = face_of(self.config, folder)
        self.engine: Engine = self._face.engine(self.config, folder, self.loop, self._face)
        self._written_at = 0.0
        self._socket_folder: str | None = None

    def run(self) -> None:
        processes.adopt_orphans()
        listener = self._listen()
        self.loop.on_readable(listener, lambda: self._accept(listener))
        self.loop.on_readable(self._lifeline, self._owner_spoke)
        self.loop.before_wait = self._write_state
        try:
            self.loop.run()
        finally:
            listener.close()
            self._clean()

    def _listen(self) -> socket.socket:
        path = str(self.folder / "socket")
        if len(path.encode()) > SOCKET_PATH_LIMIT:
            self._socket_folder = tempfile.mkdtemp(prefix="fox-fake-")
            path = f"{self._socket_folder}/socket"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(256)
        (self.folder / "controller.tag").write_text(self.engine.runner.cluster)
        _replace(self.folder / "address", path)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        Connection(self.loop, sock, self._dispatch)

    def _dispatch(self, request: Request, session: Connection) -> None:
        trouble = self.engine.trouble
        # A program tells its version without asking anybody.
        if request.argv != ["--version"] and trouble.fails(request.program, self.engine.now()):
            session.close()
        elif delay_s := trouble.delay_s(request.program):
            self.loop.later(delay_s, lambda: self._answer(request, session))
        elif trouble.loses_answer(request.program):
            self._answer(request, AnswerLost(session, trouble))
        else:
            self._answer(request, session)

    def _answer(self, request: Request, session: Session) -> None:
        if request.program not in LAUNCHERS:
            self._spare(request.pid)
        try:
            programs = {PROGRAM: set_trouble, **self._face.programs}
            programs[request.program](self.engine, request, session)
        except Refused as refusal:
            session.reply(err=refusal.words and refusal.words + "\n", code=refusal.code)
        except Exception:
            # A bug of ours must not take the jobs of a whole cluster with it; it is shown and logged.
            words = traceback.format_exc()
            sys.stderr.write(words)
            session.reply(err=f"{request.program}: the fake scheduler failed\n{words}", code=70)

    def _spare(self, pid: int) -> None:
        """A job may ask for its own end: whom it sent to ask must live to hear the answer, and to leave.

        The signal may come later than the answer, e.g. from a launcher that ends its step.
        """
        spared = self.engine.runner.spared
        spared.add(pid)
        self.loop.later(SPARED_S, lambda: spared.discard(pid))

    def _owner_spoke(self) -> None:
        if not os.read(self._lifeline, 4096):
            self.loop.stop()

    def _write_state(self) -> None:
        if not self.engine.changed:
            return
        wait = self._written_at + WRITE_STATE_EVERY_S - time.monotonic()
        if wait > 0:
            self.loop.soon_after(wait, self._write_state)
            return
        self.engine.changed = False
        self._written_at = time.monotonic()
        _replace(self.folder / "state.json", json.dumps(_summary(self.engine), indent=1))

    def _clean(self) -> None:
        while processes.kill_cluster(self.engine.runner.cluster, family=True):
            time.sleep(0.005)
        (self.folder / "address").unlink(missing_ok=True)
        (self.folder / "socket").unlink(missing_ok=True)
        if self._socket_folder:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        if self.config.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


def _replace(path: Path, text: str) -> None:
    """Write a file so that no reader ever sees half of it."""
    half = path.with_name(path.name + ".new")
    half.write_text(text)
    half.replace(path)


def _summary(engine: Engine) -> dict[str, Any]:
    """What stands in the spool's state file, for people who look."""
    shown = ("id", "name", "state", "completing", "reason", "nodes", "code", "signal", "submitted", "started",
             "ended", "restarts")  # fmt: skip
    return {
        "nodes": {name: "up" if node.available else "down" for name, node in engine.nodes.items()},
        "jobs": {job.public_id: {name: getattr(job, name) for name in shown} for job in engine.jobs.values()},
    }


def _user_name(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def main(argv: list[str]) -> None:
    folder, lifeline = Path(argv[0]), int(argv[1])
    controller = Controller(folder, lifeline)
    # What was loaded stays: there is no garbage to be looked for in it, not at the end either.
    gc.freeze()
    controller.run()


if __name__ == "__main__":
    main(sys.argv[1:])
