"""App: an object or module whose marked functions run at one place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import CoroutineType, ModuleType
from typing import Any

from ..call import Call
from ..errors import NoSuchFunction, RecipeError
from ..streamed import pull_of
from .context import Context, use
from .decorators import find_marked
from .filters import Filters
from .module_wrapper import ModuleWrapper
from .proxy import TAKEN
from .streams import Streams
from .terms import check_objects


class App:
    """What runs at one place: its functions that may be called from afar, its beginning and its end.

    Args:
        obj: an instance with marked methods, a module with marked functions, or a ModuleWrapper.
        objects: sub-objects by name, of the same kinds; function `score` of `eval` is `eval.score`.
        filters: what values pass at the border of the place.

    Raises:
        RecipeError: it is neither, or a sub-object cannot have its name or has nothing that runs.
    """

    def __init__(
        self, obj: object, objects: Mapping[str, object] | None = None, filters: Filters | None = None
    ) -> None:
        self.obj, self._home = _wrapped(obj), _home(obj)
        self.objects = {name: _wrapped(one) for name, one in (objects or {}).items()}
        self.filters = filters or Filters()
        self.collab: dict[str, Callable[..., Any]] = find_marked(self._home, "collab")
        check_objects("objects", tuple(self.objects), (*TAKEN, *self.collab))
        self._homes: list[object] = [self._home]
        for name, one in self.objects.items():
            home = _home(one)
            found = find_marked(home, "collab")
            if not found or find_marked(home, "algo"):
                raise RecipeError(
                    f"sub-object {name!r} has {'an @fox.algo' if found else 'no @fox.collab function'}: "
                    "functions marked @fox.collab are right, and no algorithm"
                )
            self.collab |= {f"{name}.{func}": bound for func, bound in found.items()}
            self._homes.append(home)
        #: What its functions have returned and is read chunk by chunk.
        self.streams = Streams()

    @property
    def name(self) -> str:
        """The name of the module or of the class."""
        return self.obj.name if isinstance(self.obj, ModuleWrapper) else type(self.obj).__name__

    def invoke(self, call: Call, context: Context) -> Any:
        """Run the function that the call asks for and give back what it returns.

        A coroutine is run to its end; an iterator stays here, and a StreamRef is given for it. A call that
        asks for a chunk of a stream gives that; at the server, maybe a Future of it.

        Raises:
            NoSuchFunction: no function of that name is marked `@fox.collab`.
        """
        if (pull := pull_of(call)) is not None:
            with use(context.changed(caller=call.caller)):
                return self.streams.pull(pull, call.caller)
        # Named before anything can fail, so that the ranks of a site count alike.
        id = self.streams.new_id(call)
        func = self.collab.get(call.func)
        if func is None:
            raise NoSuchFunction(sorted(self.collab), site=context.site_name, func=call.func)
        call = self.streams.receive(call, context)
        with use(context if context.caller == call.caller else context.changed(caller=call.caller)):
            value = func(*call.args, **call.kwargs)
            if isinstance(value, CoroutineType):
                import asyncio

                value = asyncio.run(value)
        return self.streams.keep(id, value, call, context)

    def answer(self, call: Call, context: Context) -> Any:
        """Like `invoke`, with the filters of the context before and after.

        Raises:
            CallRefused: a filter raised.
        """
        call = filter_call(call, context)
        return filter_answer(call, self.invoke(call, context), context)

    def run_init(self, context: Context) -> None:
        """Run the `@fox.init` functions, in order of definition, base classes first, sub-objects last."""
        with use(context):
            for home in self._homes:
                for func in find_marked(home, "init").values():
                    func()

    def run_final(self, context: Context) -> None:
        """Run the `@fox.final` functions, in the opposite order."""
        with use(context):
            self.streams.close()
            for home in reversed(self._homes):
                for func in reversed(find_marked(home, "final").values()):
                    func()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} · {', '.join(self.collab) or 'nothing to call'}>"


def filter_call(call: Call, context: Context) -> Call:
    """Give a call as the function here gets it; raises CallRefused."""
    if not context.terms.filters.incoming or pull_of(call) is not None:
        return call
    with use(context.changed(caller=call.caller)):
        return context.terms.filters.on_call(call, context.site_name, leaves=False)


def filter_answer(call: Call, value: Any, context: Context) -> Any:
    """Give what the function of a call returned as it leaves; raises CallRefused."""
    if not context.terms.filters.outgoing or isinstance(value, Future):
        return value  # a chunk of a stream that another place reads: it was filtered where it was made
    with use(context.changed(caller=call.caller)):
        return context.terms.filters.on_answer(call, value, context.site_name, leaves=True)


def _wrapped(obj: object) -> object:
    if isinstance(obj, type):
        raise RecipeError(f"{obj.__name__} is a class: give an instance, {obj.__name__}(…)")
    return ModuleWrapper(obj) if isinstance(obj, (ModuleType, str)) else obj


def _home(obj: object) -> object:
    """Give the module of a wrapper, else the object itself."""
    wrapped = _wrapped(obj)
    return wrapped.module if isinstance(wrapped, ModuleWrapper) else wrapped


class ServerApp(App):
    """The server's app; has exactly one `@fox.algo` function.

    Raises:
        RecipeError: it has none, or more than one.
    """

    def __init__(
        self, obj: object, objects: Mapping[str, object] | None = None, filters: Filters | None = None
    ) -> None:
        super().__init__(obj, objects, filters)
        algos = find_marked(self._home, "algo")
        if not algos:
            raise RecipeError(
                f"server {self.name} has no function marked @fox.algo: mark the algorithm with it"
            )
        if len(algos) > 1:
            raise RecipeError(f"server {self.name} has {len(algos)} @fox.algo ({', '.join(algos)}): keep one")
        self.algo_name, self._algo = next(iter(algos.items()))

    def run_algo(self, context: Context) -> Any:
        """Run the algorithm and give back what it returns."""
        with use(context):
            return self._algo()


class ClientApp(App):
    """A site's app; has at least one `@fox.collab` function.

    Raises:
        RecipeError: it has none.
    """

    def __init__(
        self, obj: object, objects: Mapping[str, object] | None = None, filters: Filters | None = None
    ) -> None:
        super().__init__(obj, objects, filters)
        if not self.collab:
            raise RecipeError(
                f"client {self.name} has no function marked @fox.collab: nothing could be called"
            )

    def make_client_app(self) -> ClientApp:
        """Make a site's own app: by the object's `make_client_app()` if it has one, else by deepcopy.

        Sub-objects are made in the same way; what they and the object share, the site's own share too. A
        module stays the same one: its functions share the module's globals.

        Raises:
            RecipeError: an object cannot be copied.
        """
        memo: dict[int, Any] = {}
        obj = _own(self.obj, memo)
        if isinstance(obj, ClientApp):
            if not self.objects and self.filters == Filters():
                return obj
            obj = obj.obj
        objects = {name: _own(one, memo) for name, one in self.objects.items()}
        return ClientApp(obj, objects, copy.deepcopy(self.filters, memo))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return type(self), (self.obj, self.objects, self.filters)


def _own(obj: object, memo: dict[int, Any]) -> Any:
    make = getattr(_home(obj), "make_client_app", None)
    if callable(make):
        made = memo[id(obj)] = make()
        return made
    try:
        return copy.deepcopy(obj, memo)
    except RecipeError:
        raise
    except Exception as error:
        name = obj.name if isinstance(obj, ModuleWrapper) else type(obj).__name__
        raise RecipeError(
            f"client {name} cannot be copied for each site ({type(error).__name__}: {error}): "
            "give its class a make_client_app() that returns a new instance"
        ) from error
