"""`collab`: the one object that Collab code imports; marks functions, and knows where they run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ...api.context import current
from ...api.fox import fox
from ...errors import FoxError
from .calls import Context, Proxy, ProxyList

F = TypeVar("F", bound=Callable[..., Any])
_RESULT = "__result__"
#: What set_app_prop() and the main function leave at a place, by the place's own folder: SimEnv has
#: several places in one process.
_kept: dict[Path, dict[str, Any]] = {}


class Collab:
    """`@collab.main` `@collab.publish` `@collab.init` `@collab.final`, and what Collab code asks for."""

    @staticmethod
    def publish(func: F) -> F:
        """Mark a function that may be called from afar."""
        return fox.collab(_with_context(func))

    @staticmethod
    def init(func: F) -> F:
        """Mark a function that runs once, before anything else at its place."""
        return fox.init(_with_context(func))

    @staticmethod
    def final(func: F) -> F:
        """Mark a function that runs once, at the end of the run."""
        return fox.final(_with_context(func))

    @staticmethod
    def main(func: F) -> F:
        """Mark the server's algorithm; its result is what `get_result()` gives afterwards."""
        return fox.algo(_keeping_result(_with_context(func)))

    @property
    def clients(self) -> ProxyList:
        """All sites of the run, in order."""
        return ProxyList(fox.clients)

    @property
    def other_clients(self) -> ProxyList:
        """All sites but this one."""
        return ProxyList(fox.other_clients)

    @property
    def leaf_clients(self) -> ProxyList:
        """All sites: they are not in a hierarchy here."""
        return self.clients

    @property
    def child_clients(self) -> ProxyList:
        """All sites on the server; a site has none and raises FoxError."""
        if not self.has_children:
            raise FoxError(f"{fox.site_name} has no child clients: sites are not in a hierarchy here")
        return self.clients

    @property
    def has_children(self) -> bool:
        """True on the server."""
        return fox.site_name == "server"

    @property
    def server(self) -> Proxy:
        """The server, at a site."""
        return Proxy(fox.server)

    def get_clients(self, names: Sequence[str]) -> ProxyList:
        """Give the sites of these names; raises RecipeError if there is none of that name."""
        return ProxyList(fox.clients[list(names)])

    @property
    def context(self) -> Context:
        """What runs now."""
        return Context.now()

    @property
    def caller(self) -> str:
        """The place that called the function which runs now."""
        return self.context.caller

    @property
    def callee(self) -> str:
        """The place that was called: this one."""
        return self.context.callee

    @property
    def call_info(self) -> str:
        """Where this is, who called and who was called, for a log."""
        return str(self.context)

    @property
    def site_name(self) -> str:
        """The name of this place: "server" or e.g. "site-1"."""
        return fox.site_name

    @property
    def is_aborted(self) -> bool:
        """True once nobody waits for this function any more."""
        return fox.is_aborted

    @property
    def workspace(self) -> Path:
        """A folder for this place's own files; a Path, not FLARE's Workspace."""
        return fox.workspace

    def get_app_prop(self, name: str, default: Any = None) -> Any:
        """Give a property of this place: one that was set here, or else by the recipe."""
        here = _kept.get(current().workspace, {})
        return here[name] if name in here else fox.prop(name, default)

    def set_app_prop(self, name: str, value: Any) -> None:
        """Keep a value at this place until the run ends; on each rank for itself."""
        _kept.setdefault(current().workspace, {})[name] = value

    def get_prop(self, name: str, default: Any = None) -> Any:
        """Give a value of the call that runs now."""
        return self.context.get_prop(name, default)

    def set_prop(self, name: str, value: Any) -> None:
        """Keep a value until the call that runs now has ended."""
        self.context.set_prop(name, value)

    def get_result(self, default: Any = None) -> Any:
        """Give what the main function has returned; in `@collab.final` functions of the server."""
        return _kept.get(current().workspace, {}).get(_RESULT, default)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"collab has no {name!r} here; docs/porting.md says what there is in its place")

    def __repr__(self) -> str:
        return "<collab>"


def _with_context(func: F) -> F:
    """Fill in a parameter named `context`, as Collab does."""
    if not callable(func) or "context" not in inspect.signature(func).parameters:
        return func

    @functools.wraps(func)
    def filled(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **{"context": Context.now(), **kwargs})

    return filled  # type: ignore[return-value]


def _keeping_result(func: F) -> F:
    @functools.wraps(func)
    def kept(*args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        collab.set_app_prop(_RESULT, result)
        return result

    return kept  # type: ignore[return-value]


collab = Collab()
