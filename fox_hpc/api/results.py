"""Results: what came of a group call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from ..errors import CallError


class Results(Sequence[Any]):
    """What the sites answered, in the order of the sites; without those in `failures`.

    With a callback, what that returned stands in the place of each answer.
    """

    def __init__(
        self,
        func: str,
        values: Mapping[str, Any],
        failures: Mapping[str, CallError],
        *,
        called: Sequence[str] = (),
    ) -> None:
        self._func, self._values = func, dict(values)
        self.failures = dict(failures)
        #: All sites that the call went to, in order.
        self.called = tuple(called) or (*self._values, *self.failures)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that answered, in order."""
        return tuple(self._values)

    def items(self) -> list[tuple[str, Any]]:
        """Give (site, value) pairs in the order of the sites."""
        return list(self._values.items())

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values.values())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return list(self._values.values())[index]

    def __repr__(self) -> str:
        return f"<Results of {self._func}() · {len(self)} answered · {len(self.failures)} failed>"
