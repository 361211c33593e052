"""A recipe's arguments as plain values: what the readers of an exported folder see."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..api.filters import Filters
from ..api.module_wrapper import ModuleWrapper


def describe(recipe: Any, names: Sequence[str]) -> dict[str, Any]:
    """Give a recipe's arguments by name; those that it keeps in another form as they were given."""
    server, client = recipe.server_app, recipe.client_app
    held = {"server": server.obj, "client": client.obj, "hpc_config": recipe.hpc_said}
    held |= {"server_objects": server.objects, "client_objects": client.objects}
    held |= {"server_filters": _given(server.filters), "site_filters": _given(client.filters)}
    return {name: plain(held.get(name, getattr(recipe, name, None))) for name in names}


def _given(filters: Filters) -> dict[str, Any]:
    return {name: each for name, each in vars(filters).items() if each}


def plain(value: Any) -> Any:
    """Turn an argument into what JSON has; an object into the name of its class, `module:Class`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, ModuleWrapper):
        return value.name
    # A FoxClientAPI with a training function is no more than its way to that.
    value = getattr(value, "training_func", None) or value
    named = value if hasattr(value, "__qualname__") else type(value)
    module = sys.modules.get(named.__module__)
    home = named.__module__ if module is None else ModuleWrapper(module).name
    return f"{home}:{named.__qualname__}"
