"""How the nodes of a probe's job meet over TCP, and what they then try together."""

from __future__ import annotations

import datetime
import io
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..spec import write_atomically

#: A node may come so much later: it may have waited in vain for the login node.
MEET_S = 90.0
FILES = 20
VERSIONS = 40
VERSION_BYTES = 1 << 16
READ_S = 30.0
TORCH_S = 60.0


@dataclass(frozen=True)
class Meeting:
    """The nodes of a job, each connected with the first one."""

    node: int
    nodes: int
    host: str
    lines: tuple[io.BufferedIOBase, ...]

    def share(self, text: str = "") -> str:
        """Wait until all nodes are here, and give each the first one's text."""
        if self.node == 0:
            for line in self.lines:
                _read(line)
            for line in self.lines:
                _write(line, text)
            return text
        _write(self.lines[0], "")
        return _read(self.lines[0])

    def round_s(self) -> float:
        """Measure how long it takes to hear from each other, once all are here."""
        self.share()
        began = time.monotonic()
        self.share()
        return time.monotonic() - began


def _write(line: io.BufferedIOBase, text: str) -> None:
    line.write(f"{text}\n".encode())
    line.flush()


def _read(line: io.BufferedIOBase) -> str:
    text = line.readline()
    if not text.endswith(b"\n"):
        raise ConnectionError("another node has left")
    return text.decode().rstrip("\n")


@contextmanager
def meet(node: int, nodes: int, host: str, port: int) -> Iterator[Meeting]:
    """Listen on the first node, dial it from the others; raises OSError, whose text says who was tried."""
    with ExitStack() as stack:
        others = nodes - 1
        sockets = _listen(stack, others, port) if node == 0 else [stack.enter_context(_dial(host, port))]
        for each in sockets:
            each.settimeout(MEET_S)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = tuple(stack.enter_context(each.makefile("rwb")) for each in sockets)
        yield Meeting(node, nodes, host, lines)


def _listen(stack: ExitStack, others: int, port: int) -> list[socket.socket]:
    server = stack.enter_context(socket.create_server(("", port), backlog=others))
    deadline = time.monotonic() + MEET_S
    found: list[socket.socket] = []
    while len(found) < others:
        server.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            found.append(stack.enter_context(server.accept()[0]))
        except TimeoutError:
            where = f"port {port} of {socket.gethostname()}"
            raise TimeoutError(f"{len(found)} of {others} other nodes came to {where}") from None
    return found


def _dial(host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + MEET_S
    while True:
        try:
            return socket.create_connection((host, port), timeout=5.0)
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the first node did not answer at {host}:{port}: {error}") from error
            time.sleep(0.1)


def try_exclusive(meeting: Meeting, folder: Path) -> list[int]:
    """Try to create the same files at the same moments; give the numbers of those that this node got."""
    won = []
    for number in range(FILES):
        meeting.share()
        try:
            os.close(os.open(folder / "seen" / f"exclusive-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        won.append(number)
    return won


def try_rename(meeting: Meeting, folder: Path) -> tuple[int, int, int, str]:
    """Replace a file again and again on the first node, and read it on the others.

    Returns:
        how often it was read, found torn, and found missing; and the first error, "" if there was none.
    """
    path = folder / "seen" / "replaced"
    if meeting.node == 0:
        write_atomically(path, _version(0))
    meeting.share()
    found = (0, 0, 0, "")
    if meeting.node == 0:
        for number in range(1, VERSIONS):
            write_atomically(path, _version(number))
    else:
        found = _read_until_last(path)
    meeting.share()
    return found


def _version(number: int) -> bytes:
    return bytes([number]) * VERSION_BYTES


def _read_until_last(path: Path) -> tuple[int, int, int, str]:
    reads = torn = missing = 0
    deadline, last = time.monotonic() + READ_S, _version(VERSIONS - 1)
    while time.monotonic() < deadline:
        reads += 1
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            missing += 1
        except OSError as error:
            return reads, torn, missing, str(error)
        else:
            if text == last:
                break
            torn += len(text) != VERSION_BYTES or len(set(text)) != 1
    return reads, torn, missing, ""


def try_torch(meeting: Meeting) -> tuple[str, float | None, str]:
    """Sum a number over all nodes with torch's gloo; gives torch's version, seconds, and what went wrong."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    port = int(meeting.share(str(port)))
    version = ""
    try:
        import torch
        import torch.distributed as dist

        version, began = str(torch.__version__), time.monotonic()
        dist.init_process_group(
            "gloo",
            init_method=f"tcp://{meeting.host}:{port}",
            rank=meeting.node,
            world_size=meeting.nodes,
            timeout=datetime.timedelta(seconds=TORCH_S),
        )
        total = torch.ones(1)
        dist.all_reduce(total)
        took = time.monotonic() - began
        dist.destroy_process_group()
    except Exception as error:
        return version, None, f"{type(error).__name__}: {error}"
    wrong = "" if int(total) == meeting.nodes else f"the sum over {meeting.nodes} nodes is {int(total)}"
    return version, took, wrong
