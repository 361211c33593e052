"""The dataclasses that may travel, and the names under which they do."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TypeVar

from ..errors import CodecError
from ..model import FLModel
from ..streamed import StreamPull, StreamRef

C = TypeVar("C", bound=type)

by_name: dict[str, type] = {}
names: dict[type, str] = {}


def register(cls: C, name: str | None = None) -> C:
    """Make a dataclass known, so that its objects can be sent; both ends must register it.

    Usable as a decorator. `name` is what travels; by default `module.qualname`, where a script that is
    run counts as the module of its name. Fields with `init=False` do not travel: `__post_init__` makes them.

    Raises:
        CodecError: it is not a dataclass, or another class has the name.
    """
    if not dataclasses.is_dataclass(cls):
        raise CodecError("$", f"register() takes a dataclass, {cls.__qualname__} is none")
    known_as = name or _full_name(cls)
    other = by_name.get(known_as)
    # A class may be made again, by a second import of its module or a cell of a notebook.
    if other is not None and _full_name(other) != _full_name(cls):
        raise CodecError("$", f"the name {known_as} is taken by {_full_name(other)}")
    by_name[known_as], names[cls] = cls, known_as
    return cls


def register_payload(cls: type | None) -> None:
    """Make the dataclass of a `FoxClientAPI[…]` known at both ends, if its user has not.

    A class of the main script is another one's `__main__` at the site: it travels under its bare name.
    """
    if cls is not None and cls not in names:
        register(cls, f"__main__.{cls.__qualname__}" if cls.__module__ == "__main__" else None)


def _full_name(cls: type) -> str:
    module = cls.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else module
    return f"{module}.{cls.__qualname__}"


register(FLModel, "FLModel")
register(StreamRef, "StreamRef")
register(StreamPull, "StreamPull")
