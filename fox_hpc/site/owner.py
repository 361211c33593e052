"""What the owner of a site lays down: his filters, found by name, and what is told of errors."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import replace

from ..api.filters import Filter, Filters
from ..call import Reply
from ..errors import RecipeError
from ..spec import OwnerSpec


def load_filters(owner: OwnerSpec) -> Filters:
    """Import the owner's filters, from his folder first.

    Raises:
        RecipeError: one cannot be imported, or is no function; names it.
    """
    if owner.folder and (owner.incoming or owner.outgoing):
        sys.path.insert(0, owner.folder)
    try:
        return Filters(_load(owner.incoming), _load(owner.outgoing))
    finally:
        if owner.folder in sys.path[:1]:
            del sys.path[0]


def held_back(reply: Reply, errors: str) -> Reply:
    """Give a reply as it may leave: of an error only what the owner lets out, see OwnerSpec."""
    fault = reply.fault
    if fault is None or errors == "full":
        return reply
    message = fault.message
    if errors == "type" and fault.kind in ("remote", "refused"):
        # Of a filter's refusal the message is the name of what it raised, and its text.
        message = message.partition(":")[0] if fault.kind == "refused" else ""
    return Reply(fault=replace(fault, traceback="", message=message))


def _load(names: Sequence[str]) -> list[Filter]:
    return [_one(name) for name in names]


def _one(name: str) -> Filter:
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise RecipeError(
            f"the site's filter {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise RecipeError(f"the site's filter {name!r} is no function of (func, value)")
    return found
