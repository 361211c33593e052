"""WandbRun and what hangs on it: the site's run as `wandb.init()` gives it, its config and its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from types import TracebackType
from typing import Any, Self

from ..errors import RecipeError
from ..metric import Entry
from .values import fact, moment, plain, whole
from .wandb_media import entries_of

Write = Callable[[Sequence[Entry]], None]


class Facts(MutableMapping[str, Any]):
    """Named values with items and attributes; each change is logged as a fact.

    Args:
        role: "param" or "result".
        fixed: a name that is set may be set to something else only with `allow_val_change`.
    """

    def __init__(self, role: str, write: Write, *, fixed: bool) -> None:
        self.__dict__.update(_role=role, _write=write, _fixed=fixed, _items={})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._items!r}>"

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __delitem__(self, name: str) -> None:
        raise RecipeError(f"{name!r} was logged: it can be changed, not taken back")

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._items[name]
        except KeyError as error:
            raise AttributeError(f"there is no {name} in it") from error

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def update(  # type: ignore[override]
        self, d: Mapping[str, Any], allow_val_change: bool | None = None
    ) -> None:
        """Set several.

        Raises:
            RecipeError: a value of a config would change, and `allow_val_change` does not say that it may.
        """
        new = {str(name): value for name, value in dict(d).items()}
        for name, value in new.items():
            if self._fixed and not allow_val_change and self._items.get(name, value) != value:
                raise RecipeError(
                    f"config.{name} is {self._items[name]!r:.60} already: allow_val_change=True changes it"
                )
        self._items.update(new)
        if new:
            self._write([fact(self._role, name, value) for name, value in new.items()])

    def setdefaults(self, d: Mapping[str, Any]) -> None:
        """Set those that are not set yet."""
        self.update({name: value for name, value in d.items() if name not in self._items})

    def as_dict(self) -> dict[str, Any]:
        """Give a copy as a dict."""
        return dict(self._items)


class WandbRun:
    """The site's run, as far as the site knows of it; the server's receiver has the real one."""

    def __init__(
        self,
        site: str,
        write: Write,
        flush: Callable[[], None],
        end: Callable[[], None],
        *,
        labels: Mapping[str, Any],
        allow_val_change: bool,
    ) -> None:
        self._write, self._flush, self._end = write, flush, end
        self.id = self.name = site
        self.project: str | None = None
        self.entity = self.group = self.job_type = self.notes = None
        self.tags: Sequence[str] = ()
        self.config = Facts("param", write, fixed=not allow_val_change)
        self.summary = Facts("result", write, fixed=False)
        self.step = 0
        self.label(labels)

    def label(self, labels: Mapping[str, Any]) -> None:
        """Say what the run is called: project, name, notes, group, job_type, entity, tags."""
        for name, value in labels.items():
            setattr(self, name, value)
        if labels:
            self._write([fact("label", f"wandb.{name}", plain(value)) for name, value in labels.items()])

    def __repr__(self) -> str:
        return f"<WandbRun {self.name} · step {self.step}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(0 if error is None else 1)

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log one row: numbers, texts, Histogram, Image, matplotlib figures, and dicts of these.

        Args:
            step: the row's; without it rows are counted from 0 on, by each process of the site for itself.
            commit: False stays at the step, for more to come; default: True without a step, else False.

        Raises:
            RecipeError: a value is of none of these kinds.
        """
        if not isinstance(data, Mapping):
            raise RecipeError(f"log(): a dict is right, not {type(data).__name__}")
        if step is not None:
            self.step = whole("log()", step) or 0
        now = moment(None)
        entries = [
            entry for name, value in data.items() for entry in entries_of(str(name), value, self.step, now)
        ]
        if entries:
            self._write(entries)
        if commit or (commit is None and step is None):
            self.step += 1

    def finish(self, exit_code: int | None = None) -> None:
        """End the run here; `wandb.init()` goes on with it. Not 0 marks it as failed."""
        if exit_code:
            self._write([fact("label", "wandb.exit_code", int(exit_code))])
        self._flush()
        self._end()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a wandb run has no {name} here: it has log, config, summary and finish")


class DisabledRun(WandbRun):
    """The run of `mode="disabled"`: takes everything, and logs nothing."""

    def __init__(self, site: str, end: Callable[[], None]) -> None:
        super().__init__(site, lambda _: None, lambda: None, end, labels={}, allow_val_change=True)
