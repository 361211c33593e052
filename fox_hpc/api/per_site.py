"""PerSite: an argument that is another one for each site."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import structs

from ..call import Call
from ..errors import RecipeError


class PerSite:
    """A value for each site, in the place of an argument: each gets its own.

    Args:
        values: site name → value.

    Raises:
        RecipeError: it is no mapping, or names what is no site.
    """

    def __init__(self, values: Mapping[str, Any], sites: Sequence[str]) -> None:
        if not isinstance(values, Mapping):
            raise RecipeError(f"per_site({values!r}): a mapping is right, {{'site-1': …, 'site-2': …}}")
        for name in values:
            if name not in sites:
                raise RecipeError(f"per_site() has {name!r}, but the sites are {', '.join(sites)}")
        self._values = dict(values)

    def of(self, site: str) -> Any:
        """Give the site's own value."""
        return self._values[site]

    def misses(self, sites: Sequence[str]) -> list[str]:
        """Name those of the sites that it has nothing for."""
        return [site for site in sites if site not in self._values]

    def each(self, change: Callable[[Any], Any]) -> PerSite:
        """Make another one, each of whose values was changed."""
        made = object.__new__(PerSite)
        made._values = {site: change(value) for site, value in self._values.items()}
        return made

    def __repr__(self) -> str:
        return f"<PerSite {', '.join(self._values)}>"


def has_per_site(call: Call) -> bool:
    """Tell whether an argument is another one for each site."""
    for value in call.args:
        if isinstance(value, PerSite):
            return True
    return bool(call.kwargs) and any(isinstance(value, PerSite) for value in call.kwargs.values())


def check_per_site(call: Call, targets: Sequence[str]) -> None:
    """Raise RecipeError, which names the argument, if one has nothing for a target."""
    if not has_per_site(call):
        return
    named = [(f"argument {number}", value) for number, value in enumerate(call.args, 1)]
    named += [(f"{name}=", value) for name, value in call.kwargs.items()]
    for name, value in named:
        if isinstance(value, PerSite) and (missing := value.misses(targets)):
            has = repr(value).strip("<>").removeprefix("PerSite ")
            raise RecipeError(
                f"{call.func}(): {name} has nothing for {', '.join(missing)}: per_site() has {has}"
            )


def for_site(call: Call, site: str) -> Call:
    """Give the call as one site gets it."""

    def own(value: Any) -> Any:
        return value.of(site) if isinstance(value, PerSite) else value

    kwargs = {name: own(value) for name, value in call.kwargs.items()}
    return structs.replace(call, args=tuple(map(own, call.args)), kwargs=kwargs)
