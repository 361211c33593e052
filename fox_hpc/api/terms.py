"""Terms: what a recipe, and a site's owner, lay down for the code at one place."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import FoxError, RecipeError
from .filters import Filters


@dataclass(frozen=True)
class Terms:
    """What holds at one place.

    Args:
        client_objects, server_objects: the names of the sub-objects that calls may go to.
        props: named values for the code here.
        filters: what values pass at this place's border.
    """

    client_objects: tuple[str, ...] = ()
    server_objects: tuple[str, ...] = ()
    props: Mapping[str, Any] = field(default_factory=dict)
    filters: Filters = field(default_factory=Filters)

    def prop(self, name: str, default: Any) -> Any:
        """Give a copy of a prop, or the default; raises FoxError if there is neither."""
        if name in self.props:
            return copy.deepcopy(self.props[name])
        if default is NO_DEFAULT:
            has = ", ".join(self.props) or "none"
            raise FoxError(f"there is no prop {name!r} here (there are: {has}); fox.prop({name!r}, default)")
        return default


#: Tells a default of None from none.
NO_DEFAULT: Any = object()


def check_objects(where: str, names: Sequence[str], taken: Sequence[str]) -> None:
    """Raise RecipeError if sub-objects cannot have these names.

    Args:
        taken: names that mean something else on a proxy.
    """
    for name in names:
        if not name.isidentifier() or name.startswith("_"):
            raise RecipeError(f"{where}[{name!r}]: a name of letters and digits is right, as 'eval'")
        if name in taken:
            raise RecipeError(f"{where}[{name!r}]: that name is taken; another one is right")
