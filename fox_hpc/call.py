"""The values that travel: a Call asks, a Reply answers, a Fault says what went wrong."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol

import msgspec

from .errors import (
    CallCancelled,
    CallError,
    CallRefused,
    CallTimeout,
    CodecError,
    NoSuchFunction,
    RecipeError,
    RemoteError,
    SiteLost,
    WaitCycle,
)

Ranks = Literal["all", "zero"]


@dataclass(frozen=True)
class CallOption:
    """How a call is made.

    Args:
        expect_result: False sends the call and does not wait; a failure is logged only.
        blocking: False gives a handle at once, which iterates as results arrive.
        timeout: seconds from the moment the call reaches a running site; None waits for ever.
        optional: True makes a failed site no error: None for a single call, a failure in the
            results for a group.
        secure: True refuses to make the call over a link that is not encrypted.
        parallel: the most calls of one group in flight; 0 means no bound. An answer that waits for its
            callback is in flight.
        min_success: how many sites must answer; None means the recipe's `min_clients`.
        target: the sub-object whose function it is, "" for the client or the server itself.
        ranks: "all" runs the function on every rank of the site, "zero" on rank 0 only.
        late: True gives each answer as a `Late`: its big arrays stay at the site until they are read.
        callback: is called with (site, value) for each answer when it comes, one at a time and of those
            that are there in the order of the sites. The answer is its own from then on; what it
            returns takes the place of the answer. Runs on the thread that waits for the call, and on
            one of the call's own with `blocking=False`. If it raises, the call fails.
    """

    expect_result: bool = True
    blocking: bool = True
    timeout: float | None = None
    optional: bool = False
    secure: bool = False
    parallel: int = 0
    min_success: int | None = None
    target: str = ""
    ranks: Ranks = "all"
    callback: Callable[[str, Any], object] | None = None
    late: bool = False

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise RecipeError(f"timeout={self.timeout!r}: a positive number of seconds or None is right")
        if self.parallel < 0:
            raise RecipeError(f"parallel={self.parallel!r}: 0 (no bound) or a positive number is right")
        if self.min_success is not None and self.min_success < 0:
            raise RecipeError(f"min_success={self.min_success!r}: 0 or a positive number is right")
        if self.ranks not in ("all", "zero"):
            raise RecipeError(f"ranks={self.ranks!r}: 'all' or 'zero' is right")
        if not isinstance(self.target, str):
            raise RecipeError(f"target={self.target!r}: the name of a sub-object is right")
        if self.callback is not None and not callable(self.callback):
            raise RecipeError(f"callback={self.callback!r}: a function of (site, value) or None is right")

    def needed(self, sites: int, min_clients: int) -> int:
        """Say how many of so many sites must answer.

        Args:
            min_clients: how many, if the call does not say so itself.

        Raises:
            RecipeError: it wants more than are called.
        """
        if self.min_success is not None:
            if self.min_success > sites:
                raise RecipeError(f"min_success={self.min_success}: this call goes to {sites} sites only")
            return self.min_success
        return 0 if self.optional else min(min_clients, sites)


def new_call_id() -> str:
    """Make an id that is unique over all processes of a run."""
    return os.urandom(8).hex()


class Call(msgspec.Struct, frozen=True):
    """One function to run at one or more targets, all of which get the same arguments.

    Args:
        func: its name; of a sub-object's function, `object.function`.
        to: the site that the server is to pass it on to, "" if it is for who gets it.
        waits: False if the caller goes on without the answer.
    """

    func: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    caller: str = "server"
    timeout: float | None = None
    ranks: Ranks = "all"
    late: bool = False
    to: str = ""
    waits: bool = True

    def without_arguments(self) -> Call:
        """Give a copy that holds no arguments."""
        return msgspec.structs.replace(self, args=(), kwargs={})


class Wait(Protocol):
    """How a thread waits for what carries calls to bring something."""

    def __call__(
        self, changed: threading.Condition, ready: Callable[[], bool], timeout: float | None = None, /
    ) -> bool:
        """Return once `ready()`, or after `timeout` seconds; tell whether it is.

        Args:
            changed: not held; notified when `ready()` may have become true.
            ready: cheap, and asked with and without `changed` held.
        """


def wait_aside(
    changed: threading.Condition, ready: Callable[[], bool], timeout: float | None = None, /
) -> bool:
    """Wait while other threads bring it."""
    with changed:
        return changed.wait_for(ready, timeout)


class Pending(msgspec.Struct, frozen=True):
    """One call on its way to one target; the future gives the value or raises a CallError.

    Args:
        wait: how to wait for it fastest.
    """

    site: str
    call_id: str
    future: Future[Any]
    wait: Wait = wait_aside


FaultKind = Literal["remote", "timeout", "cancelled", "lost", "nofunc", "cycle", "refused"]


@dataclass(frozen=True)
class Fault:
    """A failure as a plain value, so that it can cross a process border; `to_error` gives it back."""

    kind: FaultKind
    type_name: str = ""
    message: str = ""
    traceback: str = ""
    rank: int = 0
    host: str = ""
    job_id: str = ""
    state: str = ""
    exit_code: int | None = None
    stderr_tail: str = ""
    timeout_s: float = 0.0
    known: Sequence[str] = ()

    @classmethod
    def from_exception(cls, error: BaseException, *, rank: int = 0, host: str = "") -> Fault:
        """Describe an exception that the called code raised, with its traceback as text."""
        if isinstance(error, NoSuchFunction):
            return cls("nofunc", message=str(error), known=error.known, rank=rank, host=host)
        if isinstance(error, CallRefused) and error.served:
            return cls("refused", error.filter_name, error.reason, rank=rank, host=error.where)
        trace = _outside(error.__traceback__)
        text = "".join(traceback.format_exception(type(error), error, trace))
        name = type(error).__name__
        return cls("remote", name, _message(error), traceback=text, rank=rank, host=host)

    @classmethod
    def of_call(cls, error: BaseException) -> Fault:
        """Describe how a call failed, so that another caller gets the same error."""
        if isinstance(error, RemoteError):
            return cls(
                "remote",
                error.type_name,
                error.message,
                traceback=error.traceback,
                rank=error.rank,
                host=error.host,
            )
        if isinstance(error, CallTimeout):
            return cls("timeout", timeout_s=error.timeout_s)
        if isinstance(error, WaitCycle):
            return cls("cycle", known=error.cycle)
        if isinstance(error, SiteLost):
            return cls(
                "lost",
                message=error.reason,
                job_id=error.job_id,
                state=error.state,
                exit_code=error.exit_code,
                stderr_tail=error.stderr_tail,
            )
        if isinstance(error, CallCancelled):
            return cls("cancelled", message=str(error))
        if isinstance(error, CallRefused):
            return cls("refused", error.filter_name, error.reason, host=error.where)
        return cls.from_exception(error)

    def to_error(self, *, site: str, func: str, call_id: str) -> CallError:
        """Make the exception that the caller sees."""
        where = {"site": site, "func": func, "call_id": call_id}
        if self.kind == "remote":
            return RemoteError(
                self.type_name,
                self.message,
                traceback=self.traceback,
                rank=self.rank,
                host=self.host,
                **where,
            )
        if self.kind == "timeout":
            return CallTimeout(self.timeout_s, **where)
        if self.kind == "nofunc":
            return NoSuchFunction(self.known, **where)
        if self.kind == "cycle":
            return WaitCycle(self.known, **where)
        if self.kind == "refused":
            return CallRefused(self.type_name, self.message, where=self.host, **where)
        if self.kind == "lost":
            return SiteLost(
                job_id=self.job_id,
                state=self.state,
                exit_code=self.exit_code,
                reason=self.message,
                stderr_tail=self.stderr_tail,
                **where,
            )
        return CallCancelled(self.message or f"{func}() at {site} was cancelled", **where)


def _outside(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the frames of this package that lead to the user's code; keep all if there is only ours.

    A function that was called with wrong arguments has no frame at all: then none is left.
    """
    theirs, last = trace, trace
    while theirs is not None and theirs.tb_frame.f_code.co_filename.startswith(_HERE):
        last, theirs = theirs, theirs.tb_next
    if theirs is None and last is not None and last.tb_frame.f_code.co_filename == _CALLS_USERS:
        return None
    return theirs or trace


_HERE = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - compared as text
_CALLS_USERS = os.path.join(_HERE, "api", "app.py")  # noqa: PTH118


def _message(error: BaseException) -> str:
    if isinstance(error, CodecError):
        return f"{error.path}: {error.problem}"
    return str(error)


class Reply(msgspec.Struct, frozen=True):
    """The answer to one call at one site: a value, or a fault."""

    value: Any = None
    fault: Fault | None = None
