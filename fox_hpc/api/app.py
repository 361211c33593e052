"""App: an object or module whose marked functions run at one place."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from ..call import Call
from ..errors import NoSuchFunction, RecipeError
from ..streamed import pull_of
from .context import Context, use
from .decorators import find_marked
from .module_wrapper import ModuleWrapper
from .streams import Streams


class App:
    """What runs at one place: its functions that may be called from afar, its beginning and its end.

    Args:
        obj: an instance with marked methods, a module with marked functions, or a ModuleWrapper.

    Raises:
        RecipeError: it is neither.
    """

    def __init__(self, obj: object) -> None:
        if isinstance(obj, type):
            raise RecipeError(f"{obj.__name__} is a class: give an instance, {obj.__name__}(…)")
        self.obj = ModuleWrapper(obj) if isinstance(obj, (ModuleType, str)) else obj
        self._home: object = self.obj.module if isinstance(self.obj, ModuleWrapper) else self.obj
        self.collab: dict[str, Callable[..., Any]] = find_marked(self._home, "collab")
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
            with use(replace(context, caller=call.caller)):
                return self.streams.pull(pull, call.caller)
        # Named before anything can fail, so that the ranks of a site count alike.
        id = self.streams.new_id(call)
        func = self.collab.get(call.func)
        if func is None:
            raise NoSuchFunction(sorted(self.collab), site=context.site_name, func=call.func)
        call = self.streams.receive(call, context)
        with use(replace(context, caller=call.caller)):
            value = func(*call.args, **call.kwargs)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
        return self.streams.keep(id, value, call, context)

    def run_init(self, context: Context) -> None:
        """Run the `@fox.init` functions, in order of definition, base classes first."""
        with use(context):
            for func in find_marked(self._home, "init").values():
                func()

    def run_final(self, context: Context) -> None:
        """Run the `@fox.final` functions, in the opposite order."""
        with use(context):
            self.streams.close()
            for func in reversed(find_marked(self._home, "final").values()):
                func()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} · {', '.join(self.collab) or 'nothing to call'}>"


class ServerApp(App):
    """The server's app; has exactly one `@fox.algo` function.

    Raises:
        RecipeError: it has none, or more than one.
    """

    def __init__(self, obj: object) -> None:
        super().__init__(obj)
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

    def __init__(self, obj: object) -> None:
        super().__init__(obj)
        if not self.collab:
            raise RecipeError(
                f"client {self.name} has no function marked @fox.collab: nothing could be called"
            )

    def make_client_app(self) -> ClientApp:
        """Make a site's own app: by the object's `make_client_app()` if it has one, else by deepcopy.

        A module stays the same one: its functions share the module's globals.

        Raises:
            RecipeError: the object cannot be copied.
        """
        make = getattr(self._home, "make_client_app", None)
        if callable(make):
            made = make()
            return made if isinstance(made, ClientApp) else ClientApp(made)
        try:
            return ClientApp(copy.deepcopy(self.obj))
        except RecipeError:
            raise
        except Exception as error:
            raise RecipeError(
                f"client {self.name} cannot be copied for each site ({type(error).__name__}: {error}): "
                "give its class a make_client_app() that returns a new instance"
            ) from error
