"""Exchange: where a call that brings a model and the script that asks for one meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..errors import FoxError

#: Stands for "nothing there", since None is a value that a script may send.
NOTHING = object()
#: How often a waiting call looks whether its caller has given up; nothing else waits for this.
_LOOK_S = 0.25


class Exchange:
    """One model on its way to the script, one answer on its way back; never more.

    Calls are numbered, so that the answer to a call which was given up is not taken for the next one's.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._asking = False
        self._model: Any = NOTHING
        self._answer: Any = NOTHING
        self._held = 0
        self._stopped = self._ended = False
        self._error: BaseException | None = None

    def ask(self, model: Any, aborted: Callable[[], bool]) -> Any:
        """Hand a model to the script and wait for its answer.

        Raises:
            FoxError: another call waits, the call was given up, or no script runs any more.
            Exception: the script's own, if that ended it.
        """
        with self._changed:
            self._open(model)
            try:
                while self._answer is NOTHING:
                    self._refuse_if_over()
                    if aborted():
                        raise FoxError("execute() was given up by its caller")
                    self._changed.wait(_LOOK_S)
                return self._answer
            finally:
                self._close()

    def ask_directly(self, model: Any, func: Callable[[], object]) -> Any:
        """Hand a model to a function that runs here and now, and take its answer."""
        with self._changed:
            self._open(model)
        try:
            func()
            if self._answer is NOTHING:
                raise FoxError("the training function returned without send(): it must send one answer")
            return self._answer
        finally:
            with self._changed:
                self._close()

    def take(self, timeout: float | None, *, wait: bool = True) -> Any:
        """Give the next model to the script; NOTHING once the run stopped, or if none is there now.

        Raises:
            FoxError: the script has not answered the model that it holds.
            TimeoutError: none came in time.
        """
        with self._changed:
            if self._asking and self._held == self._number:
                if self._answer is NOTHING:
                    raise FoxError(
                        "the script asks for the next model, but has not called send() for this one"
                    )
                if not wait:
                    return NOTHING
            if wait and not self._changed.wait_for(self._has_news, timeout):
                raise TimeoutError(f"no model came within {timeout:g} s")
            if self._stopped or self._model is NOTHING:
                return NOTHING
            model, self._model = self._model, NOTHING
            self._held = self._number
            return model

    def answer(self, model: Any) -> None:
        """Take the script's answer; dropped if the call that it belongs to was given up.

        Raises:
            FoxError: the script holds no model that waits for an answer.
        """
        with self._changed:
            if not self._held:
                raise FoxError("send() was called before receive(): there is no model to answer")
            if self._asking and self._held == self._number:
                if self._answer is not NOTHING:
                    raise FoxError("send() was called twice for one model")
                self._answer = model
                self._changed.notify_all()

    def stop(self) -> None:
        """Tell the script that no model will come any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        """Note that the script ended, and how; a call that waits fails with that."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def _has_news(self) -> bool:
        return self._stopped or self._model is not NOTHING

    def _open(self, model: Any) -> None:
        if self._asking:
            raise FoxError("execute() is already waiting at this site: one call at a time")
        self._refuse_if_over()
        self._asking, self._number = True, self._number + 1
        self._model, self._answer = model, NOTHING
        self._changed.notify_all()

    def _close(self) -> None:
        self._asking = False
        self._model = self._answer = NOTHING

    def _refuse_if_over(self) -> None:
        if isinstance(self._error, Exception):
            raise self._error
        if self._ended:
            how = f"with {type(self._error).__name__}({self._error})" if self._error else "on its own"
            raise FoxError(f"the script ended {how}: there is nobody to answer execute()") from self._error
        if self._stopped:
            raise FoxError("the client was stopped: execute() cannot be called any more")
