"""What each program on PATH does: hand its words to the controller, print what comes back.

Standard library only, and little of it: these programs are started thousands of times.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

SPOOL = "FOX_FAKE_SPOOL"
USER = "FOX_FAKE_USER"
"""`name:uid` to act as a plain user of the fake; without it, commands act as its operator."""


class Line:
    """A connection that carries one JSON value a line."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._rest = b""

    def send(self, value: Any) -> None:
        self.socket.sendall(json.dumps(value).encode() + b"\n")

    def receive(self) -> Any:
        """Next value; None if the other end closed."""
        while True:
            value = self.buffered()
            if value is not None or not self.fill():
                return value

    def buffered(self) -> Any:
        """A value that has arrived already, or None."""
        head, found, rest = self._rest.partition(b"\n")
        if not found:
            return None
        self._rest = rest
        return json.loads(head)

    def fill(self) -> bool:
        """Read what is there; False at the end."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        self._rest += data
        return bool(data)


def connect(spool: str) -> Line:
    """A connection to the controller of this spool; raises OSError if there is none."""
    with open(os.path.join(spool, "address")) as file:  # noqa: PTH118, PTH123 - pathlib takes 10 ms to load
        address = file.read().strip()
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(address)
    return Line(sock)


def main(program: str) -> int:
    """Run one program; gives its exit code."""
    try:
        line = connect(os.environ.get(SPOOL, ""))
        line.send(_request(program))
        return _converse(line)
    except (OSError, EOFError):
        return _no_controller(program)
    except KeyboardInterrupt:
        return 130


def _request(program: str) -> dict[str, Any]:
    try:
        cwd = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        cwd = "/"
    user, _, uid = os.environ.get(USER, "").partition(":")
    return {
        "program": program,
        "argv": sys.argv[1:],
        "env": dict(os.environ),
        "cwd": cwd,
        "user": user,
        "uid": int(uid) if uid else os.getuid(),
        "operator": not user,
    }


def _converse(line: Line) -> int:
    """Answer what the controller asks for until it says how this ends."""
    while True:
        message = line.receive()
        if message is None:
            raise EOFError
        sys.stdout.write(message.get("out", ""))
        sys.stdout.flush()
        sys.stderr.write(message.get("err", ""))
        sys.stderr.flush()
        if "code" in message:
            return int(message["code"])
        if message.get("need") == "stdin":
            line.send({"stdin": sys.stdin.read()})
        if "launch" in message:
            from fox_hpc.fake.launch import launch

            return launch(line, message["launch"])


def _no_controller(program: str) -> int:
    words = "Unable to contact slurm controller (connect failure)"
    start = {
        "sbatch": "sbatch: error: Batch job submission failed",
        "srun": "srun: error: Unable to allocate resources",
        "squeue": "slurm_load_jobs error",
        "sinfo": "slurm_load_partitions",
        "scancel": "scancel: error: slurm_load_jobs",
    }.get(program, "slurm_load error")
    print(f"{start}: {words}", file=sys.stderr)  # noqa: T201
    return 1
