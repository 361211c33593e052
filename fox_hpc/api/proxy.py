"""Proxy and ProxyList: an attribute becomes a call to one site, or to many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, overload

from ..call import CallOption
from ..errors import RecipeError
from .backend import Backend
from .group import Group

_DEFAULT = CallOption()
_OPTIONS = tuple(field.name for field in fields(CallOption))


class Proxy:
    """Stands for one target: `proxy.train(w)` runs train(w) there and gives back what it returns.

    `proxy(timeout=60)` gives a proxy whose calls are made with these options. A failed call raises the
    CallError; with `optional=True` it gives None and logs a warning. The name of a sub-object gives a
    proxy of that: `proxy.eval.score(w)`, like `proxy(target="eval").score(w)`.

    Args:
        objects: the names of the target's sub-objects.
    """

    def __init__(
        self,
        backend: Backend,
        target_name: str,
        call_opt: CallOption = _DEFAULT,
        *,
        objects: Sequence[str] = (),
    ) -> None:
        self._backend = backend
        self._option = call_opt
        self._objects = tuple(objects)
        self.site_name = target_name

    def __call__(self, **options: Any) -> Proxy:
        option = _with(self._option, options, self._objects)
        return Proxy(self._backend, self.site_name, option, objects=self._objects)

    def __getattr__(self, func: str) -> Any:
        _refuse_private(self, func)
        if func in self._objects and not self._option.target:
            return self(target=func)
        return partial(Group([self.site_name], self._backend, self._option, single=True).invoke, func)

    def __repr__(self) -> str:
        return f"<Proxy {self.site_name}>"


class ProxyList:
    """Stands for several sites: `sites.train(w)` runs train(w) at all of them in parallel.

    `sites(timeout=60, min_success=3)` gives a list whose calls are made with these options. Parts:
    `sites[0]` and `sites["site-1"]` are a Proxy, `sites[:2]` and `sites[["site-1", "site-3"]]` a list. The
    name of a sub-object gives a list of that: `sites.eval.score(w)`.
    """

    def __init__(self, proxies: Sequence[Proxy]) -> None:
        self._proxies = tuple(proxies)

    @property
    def site_names(self) -> tuple[str, ...]:
        """The names of the sites, in order."""
        return tuple(proxy.site_name for proxy in self._proxies)

    def __call__(self, **options: Any) -> ProxyList:
        return ProxyList([proxy(**options) for proxy in self._proxies])

    def __getattr__(self, func: str) -> Any:
        _refuse_private(self, func)
        if not self._proxies:
            raise RecipeError(f"{func}() cannot be called: the list of sites is empty")
        first = self._proxies[0]
        if func in first._objects and not first._option.target:
            return self(target=func)
        return partial(Group(self.site_names, first._backend, first._option).invoke, func)

    def __len__(self) -> int:
        return len(self._proxies)

    def __iter__(self) -> Iterator[Proxy]:
        return iter(self._proxies)

    @overload
    def __getitem__(self, key: int | str) -> Proxy: ...
    @overload
    def __getitem__(self, key: slice | list[int] | list[str] | tuple[int | str, ...]) -> ProxyList: ...
    def __getitem__(
        self, key: int | str | slice | list[int] | list[str] | tuple[int | str, ...]
    ) -> Proxy | ProxyList:
        if isinstance(key, str):
            return self._named(key)
        if isinstance(key, int):
            return self._proxies[key]
        if isinstance(key, slice):
            return ProxyList(self._proxies[key])
        return ProxyList([self[part] for part in key])

    def _named(self, site: str) -> Proxy:
        for proxy in self._proxies:
            if proxy.site_name == site:
                return proxy
        raise RecipeError(f"there is no site {site!r}; the sites are {', '.join(self.site_names) or 'none'}")

    def __repr__(self) -> str:
        return f"<ProxyList {', '.join(self.site_names)}>"


def _with(option: CallOption, changes: dict[str, Any], objects: Sequence[str]) -> CallOption:
    unknown = sorted(set(changes) - set(_OPTIONS))
    if unknown:
        raise RecipeError(f"unknown call option {unknown[0]!r}; the options are {', '.join(_OPTIONS)}")
    target = changes.get("target", "")
    if target and target not in objects:
        has = ", ".join(objects) or "none"
        raise RecipeError(f"there is no sub-object {target!r} at the target; there are: {has}")
    return replace(option, **changes)


#: Names that mean something else on a proxy, so that no sub-object can have them.
TAKEN = (*_OPTIONS, "site_name", "site_names")


def _refuse_private(owner: object, name: str) -> None:
    # Also keeps copy and pickle, which probe for special names, from making calls.
    if name.startswith("_"):
        raise AttributeError(f"{type(owner).__name__} has no attribute {name!r}")
