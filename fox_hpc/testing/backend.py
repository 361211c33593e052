"""check_backend: what every Backend promises, as one function that any of them can be given to."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..api.app import App
from ..api.backend import Backend
from ..api.fox import fox
from ..call import Call
from ..errors import CallCancelled, CallTimeout, CodecError, NoSuchFunction, RemoteError

#: How long one answer may take before the check fails.
_PATIENCE_S = 30.0
SITES = ("site-1", "site-2")

#: Makes a backend that reaches SITES, each of which runs an App around its own Probe.
Serve = Callable[[Callable[[], App]], AbstractContextManager[Backend]]


class Probe:
    """The client whose functions the check calls."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @fox.collab
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        """Give back where it ran, who called, and with what."""
        return [fox.site_name, fox.caller, list(args), kwargs]

    @fox.collab
    def note(self, value: Any) -> list[Any]:
        """Give back all that was noted at this site so far."""
        self.seen.append(value)
        return self.seen

    @fox.collab
    def fail(self) -> None:
        """Raise."""
        raise ZeroDivisionError("on purpose")

    @fox.collab
    def return_odd(self) -> Any:
        """Return what cannot travel."""
        return {"odd": object()}

    @fox.collab
    def spin(self) -> str:
        """Run until nobody waits any more."""
        while not fox.is_aborted:
            time.sleep(0.01)
        return "stopped"

    def unmarked(self) -> None:
        """Is not to be called from afar."""


def check_backend(serve: Serve) -> None:
    """Raise AssertionError, naming what is wrong, unless the backend keeps every promise.

    Args:
        serve: a context manager that brings up SITES, gives a backend to call them with, and ends them.
    """
    with serve(lambda: App(Probe())) as backend:
        for check in _CHECKS:
            check(backend)


def _values_come_back(backend: Backend) -> None:
    for site, answer in zip(SITES, _ask(backend, "echo", 1, "two", key=(3.5, None)), strict=True):
        _expect(answer, [site, "server", [1, "two"], {"key": (3.5, None)}])


def _calls_to_a_site_keep_their_order(backend: Backend) -> None:
    pending = [backend.start(Call("note", (number,)), SITES[:1])[0] for number in range(20)]
    _expect([one.future.result(_PATIENCE_S)[-1] for one in pending], list(range(20)))


def _each_site_has_its_own_object(backend: Backend) -> None:
    _expect([answer[-1] for answer in _ask(backend, "note", "mine")], ["mine", "mine"])
    _expect(len(_ask(backend, "note", "again")[1]), 2)


def _call_ids_differ(backend: Backend) -> None:
    pending = backend.start(Call("echo"), SITES) + backend.start(Call("echo"), SITES)
    _expect(len({one.call_id for one in pending}), 4)
    for one in pending:
        one.future.result(_PATIENCE_S)


def _error_comes_home(backend: Backend) -> None:
    error = _failure(backend, Call("fail"), RemoteError)
    _expect((error.type_name, error.message), ("ZeroDivisionError", "on purpose"))
    _expect((error.site, error.func, error.rank), (SITES[0], "fail", 0))
    assert "on purpose" in error.traceback, "a RemoteError has the remote traceback"


def _unmarked_function_is_refused(backend: Backend) -> None:
    for name in ("unmarked", "__init__", "nothing"):
        assert "echo" in _failure(backend, Call(name), NoSuchFunction).known, "the right names are listed"


def _odd_argument_is_refused_with_its_path(backend: Backend) -> None:
    try:
        backend.start(Call("echo", (), {"value": {"odd": object()}}), SITES)
    except CodecError as error:
        _expect(error.path, "$.kwargs.value.odd")
    else:
        raise AssertionError("an argument that cannot be encoded was accepted")


def _odd_answer_is_an_error_at_once(backend: Backend) -> None:
    _expect(_failure(backend, Call("return_odd"), RemoteError).type_name, "CodecError")


def _timeout_ends_a_call_here_and_there(backend: Backend) -> None:
    error = _failure(backend, Call("spin", timeout=0.3), CallTimeout)
    _expect((error.timeout_s, error.site), (0.3, SITES[0]))
    _ask(backend, "echo")


def _cancel_ends_a_call_here_and_there(backend: Backend) -> None:
    pending = backend.start(Call("spin"), SITES)
    backend.cancel(pending)
    for one in pending:
        error = one.future.exception(_PATIENCE_S)
        assert isinstance(error, CallCancelled), f"a cancelled call raises CallCancelled, not {error!r}"
    _ask(backend, "echo")


def _cancel_of_an_ended_call_changes_nothing(backend: Backend) -> None:
    pending = backend.start(Call("echo"), SITES)
    answers = [one.future.result(_PATIENCE_S) for one in pending]
    backend.cancel(pending)
    _expect([one.future.result() for one in pending], answers)


_CHECKS = (
    _values_come_back,
    _calls_to_a_site_keep_their_order,
    _each_site_has_its_own_object,
    _call_ids_differ,
    _error_comes_home,
    _unmarked_function_is_refused,
    _odd_argument_is_refused_with_its_path,
    _odd_answer_is_an_error_at_once,
    _timeout_ends_a_call_here_and_there,
    _cancel_ends_a_call_here_and_there,
    _cancel_of_an_ended_call_changes_nothing,
)


def _ask(backend: Backend, func: str, *args: Any, **kwargs: Any) -> list[Any]:
    return [one.future.result(_PATIENCE_S) for one in backend.start(Call(func, args, kwargs), SITES)]


def _failure(backend: Backend, call: Call, kind: type[Any]) -> Any:
    error = backend.start(call, SITES[:1])[0].future.exception(_PATIENCE_S)
    assert isinstance(error, kind), f"{call.func}() ended with {error!r}, not with a {kind.__name__}"
    return error


def _expect(actual: Any, expected: Any) -> None:
    assert actual == expected, f"{actual!r} is not the expected {expected!r}"
