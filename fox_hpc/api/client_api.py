"""FoxClientAPI: the server calls execute(), the script asks with receive() and answers with send()."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..errors import FoxError, RecipeError
from .context import current, find
from .decorators import mark
from .exchange import NOTHING, Exchange


class ModelShare(Protocol):
    """How the ranks of one site share what rank 0 received.

    Promises that `get(n)` on any rank gives the n-th model that rank 0 put, n = 1, 2, …; the last one
    is None. Does not promise that rank 0 waits until all have it.
    """

    @property
    def rank(self) -> int:
        """This process's rank, 0 is the one that the server talks to."""

    @property
    def world_size(self) -> int:
        """How many ranks the site has."""

    def put(self, seq: int, model: Any) -> None:
        """Rank 0 only: give the seq-th model to the other ranks; None means stopped."""

    def get(self, seq: int, timeout: float | None) -> Any:
        """Other ranks only: wait for the seq-th model.

        Raises:
            TimeoutError: it did not come in time.
        """


class FoxClientAPI:
    """Turns the server's calls into a loop that a training script writes top to bottom.

        flare = get_client_api()
        flare.init()
        while flare.is_running():
            model = flare.receive()
            …
            flare.send(FLModel(params=…, metrics=…))

    With `set_training_func(f)` there is no script: each execute() runs f, in which the same loop, or one
    receive() and one send(), works. Else the script runs on one thread and execute() waits on another.

    A script on several ranks may call is_running() and receive() on all of them, which then get the same
    models, or on rank 0 only; is_running() once a round. send() counts on rank 0 and is dropped elsewhere.
    A training function runs on all ranks, with the same model.
    """

    def __init__(self) -> None:
        self._training_func: Callable[[], object] | None = None
        self._reset()

    def _reset(self) -> None:
        self._exchange = Exchange()
        self._share: ModelShare | None = None
        self._taken = 0
        self._next: Any = NOTHING
        self._over = False

    # ---- for the training script

    def init(self) -> None:
        """Begin; raises FoxError outside a run."""
        current()

    def is_running(self) -> bool:
        """Wait until a model is there (True) or the run has stopped (False)."""
        if self._next is not NOTHING and (self._direct or self.rank == 0):
            if self.world_size > 1 and not self._direct:
                raise FoxError("is_running() was called twice without receive(): the ranks would lose step")
            return True
        self._next = self._take(None)
        if self._next is None:
            self._next = NOTHING
            return False
        return True

    def receive(self, timeout: float | None = None) -> Any:
        """Wait for the next model and give it; None once the run has stopped.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            FoxError: the model before has not been answered by send().
        """
        model, self._next = self._next, NOTHING
        return self._take(timeout) if model is NOTHING else model

    def send(self, model: Any) -> None:
        """Answer the model that was received last; do not change `model` before the next one has come.

        Raises:
            FoxError: no model was received, or it was answered already.
        """
        if self._direct or self.rank == 0:
            self._exchange.answer(model)

    def get_site_name(self) -> str:
        """Give the name of this site."""
        return current().site_name

    @property
    def rank(self) -> int:
        """This process's rank within the site."""
        return self._share.rank if self._share else 0

    @property
    def world_size(self) -> int:
        """How many ranks this site has."""
        return self._share.world_size if self._share else 1

    # ---- for the server's algorithm

    def execute(self, fl_model: Any) -> Any:
        """Give a model to the script and return what it sends; callable from afar.

        Raises:
            FoxError: another execute() waits, or the script has ended or was stopped.
            Exception: what the script raised.
        """
        if self._training_func is None:
            context = find()
            return self._exchange.ask(fl_model, context.is_aborted if context else lambda: False)
        self._next = NOTHING
        return self._exchange.ask_directly(fl_model, self._training_func)

    def stop(self) -> None:
        """Let the script's loop end; callable from afar."""
        self._exchange.stop()

    mark(execute, "collab")
    mark(stop, "collab")

    # ---- for whoever runs the script

    def set_training_func(self, func: Callable[[], object]) -> None:
        """Run `func()` inside each execute(), instead of a script."""
        if not callable(func):
            raise RecipeError(f"set_training_func() needs a function, not {func!r}")
        self._training_func = func

    @property
    def training_func(self) -> Callable[[], object] | None:
        """The function that each execute() runs; None if a script does the work."""
        return self._training_func

    def share_with(self, share: ModelShare) -> None:
        """Tell which rank this is, and how models reach the other ranks."""
        self._share = share

    def script_ended(self, error: BaseException | None) -> None:
        """Note how the script ended on this rank; an execute() that waits fails with its exception."""
        self._exchange.end(error)
        if self.rank == 0:
            self._tell_ranks(None)

    def make_client_app(self) -> FoxClientAPI:
        """Make a new one for a site, with the same training function."""
        made = type(self)()
        made._training_func = self._training_func
        return made

    @property
    def _direct(self) -> bool:
        """True if each execute() runs a function: then it runs on all ranks, and they share nothing here."""
        return self._training_func is not None

    def _take(self, timeout: float | None) -> Any:
        if self._direct:
            model = self._exchange.take(0, wait=False)
            return None if model is NOTHING else model
        if self._over:
            return None
        if self._share is not None and self.rank != 0:
            model = self._share.get(self._taken + 1, timeout)
            self._taken += 1
            self._over = model is None
            return model
        model = self._exchange.take(timeout)
        if model is NOTHING:
            model = None
        self._tell_ranks(model)
        return model

    def _tell_ranks(self, model: Any) -> None:
        # Once stopped, always stopped: the script may ask again, the other ranks are told once.
        if self._share is not None and not self._over:
            self._taken += 1
            self._share.put(self._taken, model)
        self._over = self._over or model is None

    def __getstate__(self) -> dict[str, Any]:
        runtime = {"_exchange", "_share", "_taken", "_next", "_over"}
        return {name: value for name, value in self.__dict__.items() if name not in runtime}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __repr__(self) -> str:
        mode = "training function" if self._training_func else "script"
        return f"<FoxClientAPI {mode} · rank {self.rank} of {self.world_size}>"


def get_client_api() -> FoxClientAPI:
    """Give the FoxClientAPI of the site that this code runs at.

    Raises:
        FoxError: the code does not run inside a run, or the recipe's client is another one.
    """
    api = current().client_api
    if not isinstance(api, FoxClientAPI):
        raise FoxError(
            f"{current().site_name} has no client API: the recipe's client must be a FoxClientAPI()"
        )
    return api
