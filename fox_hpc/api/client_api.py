"""FoxClientAPI: the server calls execute(), the script asks with receive() and answers with send()."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, get_args, overload

from ..errors import FoxError, RecipeError
from ..metric import Point
from .context import current, find
from .decorators import mark
from .exchange import DEFAULT, NOTHING, Exchange, Slots
from .payload import check_kind, check_payload
from .steps import ModelShare, Steps

T = TypeVar("T")


class FoxClientAPI(Generic[T]):
    """Turns the server's calls into a loop that a training script writes top to bottom.

        flare = get_client_api()
        flare.init()
        while flare.is_running():
            model = flare.receive()
            …
            flare.send(FLModel(params=…, metrics=…))

    A call may have named slots: what `execute(global_model=g, prototypes=p)` was given comes out of
    `receive("global_model")` and `receive("prototypes")`, and `send("global_model", m)` puts one slot into
    the answer, which then is a dict of slots. It goes at `send(model)` or `send()`, or when the script asks
    for the next model, or ends. A value without a name has the slot `fl_model`.

    With `set_training_func(f)` there is no script: each execute() runs f, in which the same loop, or one
    receive() and one send(), works. Else the script runs on one thread and execute() waits on another.

    A script on several ranks may call is_running() and receive() on all of them, which then get the same
    models, or on rank 0 only; is_running() once a round. send() counts on rank 0 and is dropped elsewhere.
    A training function runs on all ranks, with the same model.

    `FoxClientAPI[MyModel]()`, with a dataclass, takes and sends nothing else in the slot `fl_model`.
    """

    def __init__(self) -> None:
        self._training_func: Callable[[], object] | None = None
        self._payload: type | None = None
        self._reset()

    def _reset(self) -> None:
        self._exchange = Exchange()
        self._share: ModelShare | None = None
        self._steps = Steps(self._exchange, None)
        self._slots: Slots | None = None
        self._given: set[str] = set()

    # ---- for the training script

    def init(self, rank: int | str | None = None) -> None:
        """Begin.

        Args:
            rank: this process's, if the script knows it; it is held against what the launcher said.

        Raises:
            FoxError: outside a run, or at another rank.
        """
        current()
        if rank is not None and int(rank) != self.rank:
            raise FoxError(f"init(rank={rank!r}): this process is rank {self.rank} of {self.world_size}")

    def is_running(self) -> bool:
        """Wait until a model is there (True) or the run has stopped (False)."""
        if self._slots is not None and not self._given and (self._direct or self.rank == 0):
            if self.world_size > 1 and not self._direct:
                raise FoxError("is_running() was called twice without receive(): the ranks would lose step")
            return True
        return self._next(None)

    def receive(self, channel: str | None = None, timeout: float | None = None) -> Any:
        """Wait for the next model and give it; None once the run has stopped.

        Args:
            channel: the slot of a call that has named ones. A slot of the call that the script holds is
                given at once, and once: asked for again, it is the next call's.
            timeout: seconds.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            FoxError: the call before has not been answered by send(), or the call has no such slot.
        """
        if channel is not None and not isinstance(channel, str):
            raise FoxError(f"receive({channel!r}): a slot's name, or timeout={channel!r}, is right")
        slot = DEFAULT if channel is None else channel
        if (self._slots is None or slot in self._given) and not self._next(timeout):
            return None
        assert self._slots is not None
        if slot not in self._slots:
            asked = "" if channel is None else repr(slot)
            has = ", ".join(f"receive({name!r})" for name in self._slots)
            raise FoxError(f"receive({asked}): the call has no such slot; right are {has}")
        self._given.add(slot)
        return self._slots[slot]

    @overload
    def send(self) -> None: ...
    @overload
    def send(self, model: T, /) -> None: ...
    @overload
    def send(self, channel: str, value: Any, /) -> None: ...
    def send(self, model: Any = NOTHING, value: Any = NOTHING) -> None:
        """Answer the call that was received last; do not change a value before the next one has come.

        `send(model)` answers it, `send("slot", value)` puts one named value into its answer, and `send()`
        lets such an answer go.

        Raises:
            FoxError: no model was received, or it was answered already.
            RecipeError: it is not what `FoxClientAPI[…]` promises.
        """
        if value is not NOTHING and not isinstance(model, str):
            raise FoxError(f"send({model!r:.60}, …): the name of a slot and its value are right")
        slot, sent = (DEFAULT, model) if value is NOTHING else (model, value)
        if slot == DEFAULT and sent is not NOTHING:
            self._check(sent, "send()")
        if self._direct or self.rank == 0:
            if sent is not NOTHING:
                self._exchange.put(slot, sent)
            if value is NOTHING:
                self._exchange.finish()

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send numbers to the run's curves, as a writer does: name → a float or a value of one element.

        Raises:
            RecipeError: a value is not one number.
        """
        track, now = current().track, time.time()
        points = [Point(str(name), _number(name, value), step, now) for name, value in metrics.items()]
        if track is not None:
            track(points)

    def shutdown(self) -> None:
        """Take part no more: receive() gives None from now on, and a call that waits or comes fails."""
        self._exchange.end(None, "has called shutdown()")
        self._steps.end()
        self._slots = None

    def get_site_name(self) -> str:
        """Give the name of this site."""
        return current().site_name

    def system_info(self) -> dict[str, Any]:
        """Tell where this process is.

        Returns:
            site_name, rank, world_size, local_rank, host, run, attempt (counts a site's jobs from 1) and
            job_id ("" in SimEnv).
        """
        facts = {"local_rank": 0, "host": "", "run": "", "attempt": 1, "job_id": "", **current().facts}
        return {"site_name": self.get_site_name(), "rank": self.rank, "world_size": self.world_size, **facts}

    @property
    def rank(self) -> int:
        """This process's rank within the site."""
        return self._share.rank if self._share else 0

    @property
    def world_size(self) -> int:
        """How many ranks this site has."""
        return self._share.world_size if self._share else 1

    # ---- for the server's algorithm

    def execute(self, fl_model: Any = NOTHING, **slots: Any) -> Any:
        """Give a model, or named slots, to the script and return what it sends; callable from afar.

        Returns:
            the value of `send(model)`, or a dict of the slots that were sent.

        Raises:
            FoxError: another execute() waits, or the script has ended or was stopped.
            RecipeError: the model is not what `FoxClientAPI[…]` promises.
            Exception: what the script raised.
        """
        if fl_model is not NOTHING:
            self._check(fl_model, "execute()")
            slots = {DEFAULT: fl_model, **slots}
        if not slots:
            raise FoxError("execute() was given nothing: a model, or values by name, are right")
        if self._training_func is None:
            context = find()
            return self._exchange.ask(slots, context.is_aborted if context else lambda: False)
        self._slots = None
        return self._exchange.ask_directly(slots, self._training_func)

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

    @property
    def payload(self) -> type | None:
        """The dataclass that `FoxClientAPI[…]` names; None if it names none.

        Raises:
            RecipeError: it names something else.
        """
        if self._payload is None:
            named = get_args(getattr(self, "__orig_class__", None))
            if named and not isinstance(named[0], TypeVar) and named[0] is not Any:
                self._payload = check_kind(named[0])
        return self._payload

    def share_with(self, share: ModelShare) -> None:
        """Tell which rank this is, and how models reach the other ranks."""
        self._share, self._steps = share, Steps(self._exchange, share)

    def script_ended(self, error: BaseException | None) -> None:
        """Note how the script ended on this rank; an execute() that waits fails with its exception."""
        self._exchange.end(error)
        self._steps.end()

    def make_client_app(self) -> FoxClientAPI[T]:
        """Make a new one for a site, with the same training function."""
        made = type(self)()
        made._training_func, made._payload = self._training_func, self.payload
        return made

    @property
    def _direct(self) -> bool:
        """True if each execute() runs a function: then it runs on all ranks, and they share nothing here."""
        return self._training_func is not None

    def _check(self, value: Any, where: str) -> None:
        if (kind := self.payload) is not None:
            check_payload(value, kind, where)

    def _next(self, timeout: float | None) -> bool:
        """Take the next call's slots; False once stopped."""
        self._slots = self._exchange.take(0, wait=False) if self._direct else self._steps.next(timeout)
        self._given = set()
        return self._slots is not None

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_payload": self.payload}
        return {name: value for name, value in state.items() if name not in _RUNTIME}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __repr__(self) -> str:
        mode = "training function" if self._training_func else "script"
        return f"<FoxClientAPI {mode} · rank {self.rank} of {self.world_size}>"


_RUNTIME = frozenset({"_exchange", "_share", "_steps", "_slots", "_given", "__orig_class__"})


def get_client_api() -> FoxClientAPI[Any]:
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


def _number(name: str, value: Any) -> float:
    """Give a float, or a numpy or torch value of one element, as a float."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RecipeError(f"log({{{name!r}: …}}): {type(value).__name__} is not one number") from error
