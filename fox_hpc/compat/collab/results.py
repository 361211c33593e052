"""What a group call gives in Collab: (site, result) pairs, and the failures beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...api.group_call import GroupCall
from ...errors import CallError, RemoteError


class CollabCallError(CallError):
    """A call of a published function failed.

    `cause` is our own error, `cause_type` the name of the remote exception's class, or of ours.
    """

    def __init__(self, site: str, func_name: str, cause: BaseException) -> None:
        self.target_name, self.func_name, self.cause = site, func_name, cause
        self.remote_traceback: str | None = None
        self.cause_type, why = type(cause).__name__, str(cause)
        if isinstance(cause, RemoteError):
            self.cause_type, self.remote_traceback, why = cause.type_name, cause.traceback, cause.message
        super().__init__(f"call to {site}.{func_name} failed: {why}", site=site, func=func_name)


@dataclass(frozen=True)
class GroupCallContext:
    """What a `process_resp_cb` is given first: whose answer it is, and to which function."""

    target_name: str
    func_name: str
    call_opt: Mapping[str, Any]
    cb_kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """Stands for the answer of a site whose callback raised."""

    error: Exception


class CallResults:
    """The answers of a group call: (site, result) pairs, as often as you like; failures beside them."""

    def __init__(
        self, func: str, items: Iterable[tuple[str, Any]], failures: Mapping[str, Exception]
    ) -> None:
        pairs = list(items)
        failed = {site: value.error for site, value in pairs if isinstance(value, Failed)}
        self._items = [(site, value) for site, value in pairs if site not in failed]
        self.failures = collab_errors(func, {**failures, **failed})

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"<CallResults · {len(self)} answered · {len(self.failures)} failed>"


class CallStream:
    """The answers of a group call that is not waited for: each (site, result) once, when it comes."""

    def __init__(self, func: str, call: GroupCall) -> None:
        self._func, self._call = func, call
        self._failed: dict[str, Exception] = {}
        self._given = 0
        self._pairs = self._follow()

    @property
    def failures(self) -> dict[str, CollabCallError]:
        """The sites that failed so far."""
        return collab_errors(self._func, {**self._call.failures, **self._failed})

    def _follow(self) -> Iterator[tuple[str, Any]]:
        for site, value in self._call.as_completed():
            if isinstance(value, Failed):
                self._failed[site] = value.error
            else:
                self._given += 1
                yield site, value

    def __iter__(self) -> CallStream:
        return self

    def __next__(self) -> tuple[str, Any]:
        return next(self._pairs)

    def __len__(self) -> int:
        return self._given


def collab_errors(func: str, failures: Mapping[str, Exception]) -> dict[str, CollabCallError]:
    """Make the errors that Collab code knows, each `from` ours."""
    found = {}
    for site, error in failures.items():
        found[site] = CollabCallError(site, func, error)
        found[site].__cause__ = error
    return found
