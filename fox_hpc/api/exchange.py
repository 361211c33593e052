"""Exchange: where a call that brings values and the script that asks for them meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..errors import FoxError

#: Stands for "nothing there", since None is a value that a script may send.
NOTHING = object()
#: How often a waiting call looks whether its caller has given up; nothing else waits for this.
_LOOK_S = 0.25


#: The slot of a value that has no name of its own.
DEFAULT = "fl_model"
#: The named values of one call, or of its answer.
Slots = dict[str, Any]


class Exchange:
    """The slots of one call on their way to the script, those of its answer on their way back; never more.

    Calls are numbered, so that the answer to a call which was given up is not taken for the next one's.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._asking = False
        self._slots: Slots | None = None
        self._sent: Slots = {}
        self._answered = False
        self._held = 0
        self._stopped = self._ended = False
        self._error: BaseException | None = None
        self._how = ""

    def ask(self, slots: Slots, aborted: Callable[[], bool]) -> Any:
        """Hand a call's slots to the script and wait for its answer.

        Raises:
            FoxError: another call waits, the call was given up, or no script runs any more.
            Exception: the script's own, if that ended it.
        """
        with self._changed:
            self._open(slots)
            try:
                while not self._answered:
                    self._refuse_if_over()
                    if aborted():
                        raise FoxError("execute() was given up by its caller")
                    self._changed.wait(_LOOK_S)
                return _bare(self._sent)
            finally:
                self._close()

    def ask_directly(self, slots: Slots, func: Callable[[], object]) -> Any:
        """Hand a call's slots to a function that runs here and now, and take its answer."""
        with self._changed:
            self._open(slots)
        try:
            func()
            if not self._sent:
                raise FoxError("the training function returned without send(): it must send one answer")
            return _bare(self._sent)
        finally:
            with self._changed:
                self._close()

    def take(self, timeout: float | None, *, wait: bool = True) -> Slots | None:
        """Give the next call's slots to the script; None once the run stopped, or if none is there now.

        What the script has sent so far is the answer to the call that it holds.

        Raises:
            FoxError: the script has not answered the call that it holds.
            TimeoutError: none came in time.
        """
        with self._changed:
            if self._asking and self._held == self._number:
                if not self._sent:
                    raise FoxError(
                        "the script asks for the next model, but has not called send() for this one"
                    )
                self._finish()
                if not wait:
                    return None
            if wait and not self._changed.wait_for(self._has_news, timeout):
                raise TimeoutError(f"no model came within {timeout:g} s")
            if self._stopped or self._slots is None:
                return None
            slots, self._slots = self._slots, None
            self._held = self._number
            return slots

    def put(self, slot: str, value: Any) -> None:
        """Add to the answer; dropped if the call that it belongs to was given up.

        Raises:
            FoxError: the script holds no call that waits for an answer, or has sent that slot.
        """
        with self._changed:
            if self._holds_open_call():
                if self._answered:
                    raise FoxError("send() was called twice for one model")
                if slot in self._sent:
                    raise FoxError(f"send({slot!r}, …) was called twice for one model")
                self._sent[slot] = value

    def finish(self) -> None:
        """Let the answer go; without a call that waits for it, nothing.

        Raises:
            FoxError: nothing was sent.
        """
        with self._changed:
            if self._holds_open_call():
                if not self._sent:
                    raise FoxError("send() without a value closes an answer: send a value before")
                self._finish()

    def stop(self) -> None:
        """Tell the script that no model will come any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def end(self, error: BaseException | None, how: str = "ended on its own") -> None:
        """Note that the script ended, and how; the first word counts. A call that waits fails with that."""
        with self._changed:
            if self._ended:
                return
            if error is None and self._sent and self._held == self._number:
                self._finish()
            self._ended, self._error, self._how = True, error, how
            self._changed.notify_all()

    def _holds_open_call(self) -> bool:
        if not self._held:
            raise FoxError("send() was called before receive(): there is no model to answer")
        return self._asking and self._held == self._number

    def _finish(self) -> None:
        self._answered = True
        self._changed.notify_all()

    def _has_news(self) -> bool:
        return self._stopped or self._ended or self._slots is not None

    def _open(self, slots: Slots) -> None:
        if self._asking:
            raise FoxError("execute() is already waiting at this site: one call at a time")
        self._refuse_if_over()
        self._asking, self._number = True, self._number + 1
        self._slots, self._sent, self._answered = slots, {}, False
        self._changed.notify_all()

    def _close(self) -> None:
        self._asking = False
        self._slots, self._sent, self._answered = None, {}, False

    def _refuse_if_over(self) -> None:
        if isinstance(self._error, Exception):
            raise self._error
        if self._ended:
            error = self._error
            how = f"ended with {type(error).__name__}({error})" if error else self._how
            raise FoxError(f"the script {how}: there is nobody to answer execute()") from error
        if self._stopped:
            raise FoxError("the client was stopped: execute() cannot be called any more")


def _bare(slots: Slots) -> Any:
    """Give an answer of one value without a name as that value."""
    return slots[DEFAULT] if list(slots) == [DEFAULT] else slots
