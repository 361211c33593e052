"""Proxies as Collab has them: options by call, and what is called knows who called it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...api import proxy as ours
from ...api.context import current
from ...api.fox import fox
from ...api.group_call import GroupCall
from ...errors import CallError
from .results import CallResults, CallStream, Failed, GroupCallContext, collab_errors


class Attribute:
    """`proxy.name`: a function to call, or an object of the site whose functions can be called."""

    def __init__(self, proxy: ours.Proxy, name: str) -> None:
        self._proxy, self._name = proxy, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        site = self._proxy.site_name
        try:
            return getattr(self._proxy, self._name)(*args, **kwargs)
        except CallError as error:
            raise collab_errors(self._name, {site: error})[site] from error

    def __getattr__(self, func: str) -> Attribute:
        if func.startswith("_"):
            raise AttributeError(f"{self._name} has no attribute {func!r}")
        return Attribute(self._proxy(target=self._name), func)


class Proxy:
    """One site: `proxy.train(w)`, or with options `proxy(timeout=60).train(w)`.

    A failed call raises CollabCallError; with `optional=True` it gives None.
    """

    def __init__(self, proxy: ours.Proxy) -> None:
        self._proxy = proxy
        self.name = self.target_name = self.fqn = proxy.site_name

    def __call__(
        self,
        expect_result: bool = True,
        timeout: float | None = None,
        optional: bool = False,
        secure: bool = False,
        target: str | None = None,
    ) -> Proxy:
        """Give the same site with these options."""
        options = _options(expect_result=expect_result, timeout=timeout, secure=secure, target=target)
        return Proxy(self._proxy(optional=optional, **options))

    def __getattr__(self, name: str) -> Attribute:
        if name.startswith("_"):
            raise AttributeError(f"Proxy has no attribute {name!r}")
        return Attribute(self._proxy, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<Proxy {self.name}>"


class ProxyList(Sequence[Proxy]):
    """Several sites: `sites.train(w)` calls all of them, and gives a CallResults whatever became of it."""

    def __init__(self, proxies: ours.ProxyList) -> None:
        self._proxies = proxies

    def __call__(
        self,
        blocking: bool = True,
        expect_result: bool = True,
        timeout: float | None = None,
        optional: bool = False,
        secure: bool = False,
        target: str | None = None,
        parallel: int = 0,
        process_resp_cb: Callable[..., Any] | None = None,
        **cb_kwargs: Any,
    ) -> Group:
        """Give the same sites with these options; `optional` changes nothing, as failures never raise."""
        options = _options(expect_result=expect_result, timeout=timeout, secure=secure, target=target)
        options |= {"blocking": blocking, "optional": optional, "parallel": parallel}
        return Group(self._proxies, options, process_resp_cb, cb_kwargs)

    def __getattr__(self, func: str) -> Callable[..., Any]:
        if func.startswith("_"):
            raise AttributeError(f"ProxyList has no attribute {func!r}")
        call: Callable[..., Any] = getattr(self(), func)
        return call

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ProxyList(self._proxies[index])
        return Proxy(self._proxies[index])

    def __len__(self) -> int:
        return len(self._proxies)

    def __repr__(self) -> str:
        return f"[{', '.join(map(repr, self))}]"


class Context:
    """What runs now: who called whom, and values that live as long as the call."""

    def __init__(self, caller: str, callee: str, props: dict[str, Any]) -> None:
        self.caller, self.callee, self._props = caller, callee, props

    @classmethod
    def now(cls) -> Context:
        """Give that of the call that runs here."""
        context = current()
        # A call has a Context of its own, made when it begins and dropped when it ends.
        props = vars(context).setdefault("collab_props", {})
        return cls(context.caller or context.site_name, context.site_name, props)

    @classmethod
    def of_answer(cls, site: str) -> Context:
        """Give that of a callback on a site's answer: the site is the caller."""
        here = cls.now()
        return cls(site, here.callee, here._props)

    @property
    def clients(self) -> ProxyList:
        """All sites."""
        return ProxyList(fox.clients)

    @property
    def server(self) -> Proxy:
        """The server."""
        return Proxy(fox.server)

    @property
    def workspace(self) -> Path:
        """A folder for this place's own files."""
        return fox.workspace

    def is_aborted(self) -> bool:
        """Tell whether nobody waits for this call any more."""
        return fox.is_aborted

    def get_prop(self, name: str, default: Any = None) -> Any:
        """Give a value of this call."""
        return self._props.get(name, default)

    def set_prop(self, name: str, value: Any) -> None:
        """Keep a value until this call ends."""
        self._props[name] = value

    def __str__(self) -> str:
        return f"{fox.site_name}:{self.caller}=>{self.callee}"


class Group:
    """Sites and options: an attribute of it is a call to all of them."""

    def __init__(
        self,
        proxies: ours.ProxyList,
        options: Mapping[str, Any],
        callback: Callable[..., Any] | None,
        cb_kwargs: Mapping[str, Any],
    ) -> None:
        self._proxies, self._options = proxies, dict(options)
        self._callback, self._cb_kwargs = callback, dict(cb_kwargs)

    @property
    def size(self) -> int:
        """How many sites a call goes to."""
        return len(self._proxies)

    def __getattr__(self, func: str) -> Callable[..., Any]:
        if func.startswith("_"):
            raise AttributeError(f"Group has no attribute {func!r}")

        def method(*args: Any, **kwargs: Any) -> Any:
            # There, a call in which all sites fail is an empty result, and not an error.
            options = {**self._options, "min_success": 0}
            if self._callback is not None:
                options["callback"] = self._on_answer(func, self._callback)
            made = getattr(self._proxies(**options), func)(*args, **kwargs)
            if isinstance(made, GroupCall):
                return CallStream(func, made)
            return None if made is None else CallResults(func, made.items(), made.failures)

        return method

    def _on_answer(self, func: str, callback: Callable[..., Any]) -> Callable[[str, Any], Any]:
        """Make our callback of theirs, whose exception is the failure of one site and not of the call."""
        wants_context = "context" in inspect.signature(callback).parameters

        def on_answer(site: str, value: Any) -> Any:
            kwargs = dict(self._cb_kwargs)
            if wants_context:
                kwargs["context"] = Context.of_answer(site)
            try:
                return callback(GroupCallContext(site, func, self._options, self._cb_kwargs), value, **kwargs)
            except Exception as error:
                return Failed(error)

        return on_answer


def _options(**said: Any) -> dict[str, Any]:
    """Leave out what was not said."""
    return {name: value for name, value in said.items() if value is not None}
