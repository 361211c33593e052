"""RankGroup: the ranks of one site among themselves, over torch.distributed, MPI, or nothing.

What travels is bytes: values go through the wire's codec, and so without pickle between ranks, too.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any, Protocol

from ..environment import RankEnv, process_environ, started_by_mpi
from ..errors import FoxError, MissingExtra, RecipeError
from ..wire import codec

#: More bytes than this go in several steps: MPI counts in 32 bits, and so a buffer's size is bounded.
STEP_BYTES = 64 * 2**20


class Lane(Protocol):
    """How bytes go from rank to rank; `buffer` is one of `empty`'s, or a part of it.

    Promises that what was sent may be changed when the call returns.
    """

    name: str
    rank: int
    world_size: int

    def empty(self, size: int) -> Any:
        """Make a buffer of so many bytes; one that can be sliced, and slices assigned to."""

    def broadcast(self, buffer: Any, src: int) -> None:
        """Fill every rank's buffer with that of `src`."""

    def send(self, buffer: Any, dst: int) -> None:
        """Give a buffer's bytes to one rank, which calls `receive`."""

    def receive(self, buffer: Any, src: int) -> None:
        """Fill a buffer with what `src` sends."""


class TorchLane:
    """Over torch.distributed's default group; buffers are byte tensors, on the GPU under nccl."""

    name = "torch"

    def __init__(self) -> None:
        import torch
        import torch.distributed as dist

        self._torch, self._dist = torch, dist
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        on_gpu = dist.get_backend() == "nccl"
        self.device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    def empty(self, size: int) -> Any:
        """See Lane."""
        return self._torch.empty(size, dtype=self._torch.uint8, device=self.device)

    def broadcast(self, buffer: Any, src: int) -> None:
        """See Lane."""
        self._dist.broadcast(buffer, src)

    def send(self, buffer: Any, dst: int) -> None:
        """See Lane."""
        self._dist.send(buffer, dst)

    def receive(self, buffer: Any, src: int) -> None:
        """See Lane."""
        self._dist.recv(buffer, src)


class MpiLane:
    """Over MPI's world; buffers are numpy arrays of bytes."""

    name = "mpi"

    def __init__(self) -> None:
        try:
            from mpi4py import MPI
        except ImportError as error:
            raise MissingExtra("mpi4py", "mpi", "RankGroup over MPI") from error
        self._world = MPI.COMM_WORLD
        self.rank, self.world_size = self._world.Get_rank(), self._world.Get_size()

    def empty(self, size: int) -> Any:
        """See Lane."""
        import numpy

        return numpy.empty(size, numpy.uint8)

    def broadcast(self, buffer: Any, src: int) -> None:
        """See Lane."""
        self._world.Bcast(buffer, src)

    def send(self, buffer: Any, dst: int) -> None:
        """See Lane."""
        self._world.Send(buffer, dst)

    def receive(self, buffer: Any, src: int) -> None:
        """See Lane."""
        self._world.Recv(buffer, src)


def find_lane(backend: str | None = None) -> Lane | None:
    """Find what connects the ranks; None where there is one rank only.

    Args:
        backend: "torch" or "mpi"; None takes torch.distributed where its group was made, else MPI where
            an MPI has started the ranks.

    Raises:
        RecipeError: there is no such backend.
        FoxError: there are several ranks, and nothing connects them.
        MissingExtra: mpi4py is not installed.
    """
    if backend not in (None, "torch", "mpi"):
        raise RecipeError(f"RankGroup({backend!r}): 'torch', 'mpi' or None is right")
    if backend == "mpi":
        return MpiLane()
    if _torch_has_group():
        return TorchLane()
    environ = process_environ()
    world_size = RankEnv.read(environ).world_size
    if backend is None and world_size > 1 and started_by_mpi(environ) and _is_there("mpi4py"):
        return MpiLane()
    if world_size > 1:
        raise FoxError(
            f"nothing connects the {world_size} ranks of this site: call init_process_group() before, "
            "or start them by mpirun, with mpi4py installed"
        )
    return None


def _torch_has_group() -> bool:
    # Whoever made the group has imported it.
    dist = sys.modules.get("torch.distributed")
    return dist is not None and bool(dist.is_available() and dist.is_initialized())


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


class RankGroup:
    """The ranks of this site: who this process is, and small values from rank to rank.

        group = RankGroup()
        seed = group.broadcast(make_seed() if group.rank == 0 else None)
        losses = group.gather(loss)          # a list on rank 0, None elsewhere

    All methods are collective: every rank calls them, in the same order. Values are those that the wire
    takes; weights go better by `broadcast_state_dict`, which copies less.

    Args:
        backend: see `find_lane`.

    Raises:
        FoxError: there are several ranks, and nothing connects them.
    """

    def __init__(self, backend: str | None = None) -> None:
        self._lane = find_lane(backend)

    @property
    def rank(self) -> int:
        """This process's rank."""
        return self._lane.rank if self._lane else 0

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return self._lane.world_size if self._lane else 1

    @property
    def backend(self) -> str:
        """What connects the ranks: "torch", "mpi", or "alone" where there is one."""
        return self._lane.name if self._lane else "alone"

    def broadcast(self, value: Any = None, src: int = 0) -> Any:
        """Give every rank the value of rank `src`; what the others pass is not looked at.

        Raises:
            CodecError: the value cannot travel; a FoxError on the other ranks, which do not wait.
        """
        lane = self._lane
        if lane is None:
            return value
        if lane.rank == src:
            data = _encoded(lane, value, lambda: _broadcast_size(lane, -1, src))
            _broadcast_size(lane, len(data), src)
        else:
            size = _broadcast_size(lane, 0, src)
            if size < 0:
                raise FoxError(f"rank {src} could not encode what it was to broadcast: see its error")
            data = lane.empty(size)
        for part in steps(len(data)):
            lane.broadcast(data[part], src)
        return value if lane.rank == src else _decoded(data)

    def gather(self, value: Any, dst: int = 0) -> list[Any] | None:
        """Give rank `dst` the values of all ranks, in their order; None to the others.

        Raises:
            CodecError: the value cannot travel; a FoxError on rank `dst`.
        """
        lane = self._lane
        if lane is None:
            return [value]
        if lane.rank != dst:
            data = _encoded(lane, value, lambda: lane.send(_number(lane, -1), dst))
            lane.send(_number(lane, len(data)), dst)
            for part in steps(len(data)):
                lane.send(data[part], dst)
            return None
        return [value if rank == dst else _received(lane, rank) for rank in range(lane.world_size)]

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self.gather(None)
        self.broadcast(None)

    def __repr__(self) -> str:
        return f"<RankGroup {self.backend} · rank {self.rank} of {self.world_size}>"


def steps(size: int, step: int = STEP_BYTES) -> list[slice]:
    """Cut so many bytes into parts of at most `step`."""
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def as_buffer(lane: Lane, data: Any) -> Any:
    """Copy bytes into a buffer of a lane."""
    import numpy

    buffer, source = lane.empty(len(data)), numpy.frombuffer(bytearray(data), numpy.uint8)
    if isinstance(lane, TorchLane):
        import torch

        buffer.copy_(torch.from_numpy(source))
    else:
        buffer[:] = source
    return buffer


def to_bytes(buffer: Any) -> bytearray:
    """Copy a buffer's bytes out of a lane."""
    return bytearray(buffer.cpu().numpy() if hasattr(buffer, "cpu") else buffer)


def _number(lane: Lane, number: int) -> Any:
    return as_buffer(lane, number.to_bytes(8, "little", signed=True))


def _broadcast_size(lane: Lane, size: int, src: int) -> int:
    buffer = _number(lane, size)
    lane.broadcast(buffer, src)
    return int.from_bytes(to_bytes(buffer), "little", signed=True)


def _encoded(lane: Lane, value: Any, tell_failed: Callable[[], object]) -> Any:
    """Encode a value as one buffer: the number of frames, their sizes, the frames."""
    try:
        frames = [memoryview(frame).cast("B") for frame in codec.encode(value)]
    except Exception:
        tell_failed()
        raise
    numbers = [len(frames), *map(len, frames)]
    return as_buffer(lane, b"".join([*(number.to_bytes(8, "little") for number in numbers), *frames]))


def _decoded(buffer: Any) -> Any:
    view = memoryview(to_bytes(buffer))

    def number(at: int) -> int:
        return int.from_bytes(view[8 * at : 8 * at + 8], "little")

    count = number(0)
    frames, start = [], 8 * (count + 1)
    for size in (number(at + 1) for at in range(count)):
        frames.append(view[start : start + size])
        start += size
    return codec.decode(frames)


def _received(lane: Lane, src: int) -> Any:
    head = lane.empty(8)
    lane.receive(head, src)
    size = int.from_bytes(to_bytes(head), "little", signed=True)
    if size < 0:
        raise FoxError(f"rank {src} could not encode what it was to give: see its error")
    data = lane.empty(size)
    for part in steps(size):
        lane.receive(data[part], src)
    return _decoded(data)
