"""Standstill: a collective in which ranks wait for others that have left the call, and will not come."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from types import FrameType

import msgspec

from ..call import Fault

#: A rank that stays this long in one collective is thought to wait for others. They may be late, so that it
#: counts only once those that it could wait for have left …
HANG_S = 7.0
LOOK_S = 1.0
#: … and where a rank may wait: collectives of torch.distributed, and those of RankGroup over MPI.
_MODULES = ("torch.distributed.distributed_c10d", f"{__package__}.rank_group")
#: Each rank leaves the group in its own time.
_NOT_THESE = frozenset({"destroy_process_group", "_shutdown_backend", "_abort_process_group"})


class Hang(msgspec.Struct, frozen=True):
    """A rank that stays in a collective: which one, on which host, and its stack."""

    host: str
    where: str
    trace: str


class Standstill:
    """What rank 0 knows of the ranks in a call. Pure; for use from any thread."""

    def __init__(self, world_size: int) -> None:
        self._all = frozenset(range(world_size))
        self._lock = threading.Lock()
        self._out: set[int] = set()
        self._hung: dict[int, Hang] = {}

    def begin(self, ranks: Iterable[int] | None = None) -> None:
        """These ranks enter a call, all if None; the others take no part in it."""
        with self._lock:
            self._out = set() if ranks is None else set(self._all - set(ranks))

    def came_out(self, rank: int) -> None:
        """A rank has left the call."""
        with self._lock:
            self._out.add(rank)

    def hangs(self, rank: int, hang: Hang | None) -> None:
        """A rank stays in a collective, or, with None, has gone on."""
        with self._lock:
            self._hung.pop(rank, None)
            if hang is not None:
                self._hung[rank] = hang

    def verdict(self, also_out: Iterable[int] = ()) -> Fault | None:
        """Give the fault if some ranks are out, and every other stays in a collective; else None.

        Args:
            also_out: ranks that are known to be out of the call besides.
        """
        with self._lock:
            out = self._out | set(also_out)
            inside = sorted(self._all - out)
            if not out or not inside or any(rank not in self._hung for rank in inside):
                return None
            rank, hang = inside[0], self._hung[inside[0]]
        others = ", ".join(map(str, sorted(out)))
        return Fault(
            "remote",
            "TimeoutError",
            f"rank {rank} waits in {hang.where}() since {HANG_S:g} s for ranks that do not come: "
            f"{'rank' if len(out) == 1 else 'ranks'} {others} left the call without it",
            traceback=hang.trace,
            rank=rank,
            host=hang.host,
        )


class Watch:
    """Looks now and then whether a thread stays in one collective.

    Args:
        call_later: runs an action some seconds later, on a thread that is not the watched one.
        tell: takes the hang, and None once the thread has gone on.
    """

    def __init__(
        self,
        host: str,
        call_later: Callable[[float, Callable[[], None]], object],
        tell: Callable[[Hang | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._thread, self._host = threading.get_ident(), host
        self._call_later, self._tell, self._clock = call_later, tell, clock
        # The frame is held, so that another call of the same function is another frame.
        self._seen: tuple[FrameType, int] | None = None
        self._since = 0.0
        self._told = False
        call_later(LOOK_S, self._look)

    def _look(self) -> None:
        frame = sys._current_frames().get(self._thread)
        seen = (frame, frame.f_lasti) if frame is not None and _is_collective(frame) else None
        now = self._clock()
        if seen is None or self._seen is None or seen[0] is not self._seen[0] or seen[1] != self._seen[1]:
            self._seen, self._since = seen, now
            if self._told:
                self._told = False
                self._tell(None)
        elif not self._told and now - self._since >= HANG_S:
            self._told = True
            self._tell(Hang(self._host, seen[0].f_code.co_name, _stack(seen[0])))
        del frame, seen
        self._call_later(LOOK_S, self._look)


def _is_collective(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in _MODULES and frame.f_code.co_name not in _NOT_THESE


def _stack(frame: FrameType) -> str:
    """Show where a thread is, from the user's code inwards."""
    rows = traceback.extract_stack(frame)
    ours = [
        number for number, row in enumerate(rows) if "/fox_hpc/" in row.filename or "<frozen" in row.filename
    ]
    inner = [number for number in ours if number + 1 < len(rows) and number + 1 not in ours]
    begins = inner[0] + 1 if inner else 0
    return "Stack of the rank that waits (most recent call last):\n" + "".join(
        traceback.format_list(rows[begins:])
    )
