"""WandbWriter: what the module `wandb` is to a training script, without W&B at the site.

A site has one run; `init` begins it, or goes on with it, and the server's receiver keeps it.

Source: https://docs.wandb.ai/ref/python, whose names and arguments these are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ..api.context import current
from ..errors import RecipeError
from . import wandb_media
from .wandb_run import DisabledRun, Facts, WandbRun
from .writer import AutoWriter

_NO_EFFECT = (
    "a site has one run, which the server's receiver keeps; WANDB_MODE there says whether it is online"
)
_HERE = "fox-hpc's `wandb` has init, log, config, summary, run, finish, Histogram and Image"


class WandbWriter:
    """Logs as `wandb` does; one object for all sites and threads of a process."""

    Histogram = wandb_media.Histogram
    Image = wandb_media.Image

    def __init__(self) -> None:
        self._writer = AutoWriter()
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, int], WandbRun] = {}

    def __repr__(self) -> str:
        return f"<fox_hpc.tracking.wandb · {self._writer!r}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"wandb has no {name} here: {_HERE}")

    def init(
        self,
        entity: str | None = None,
        project: str | None = None,
        dir: Any = None,
        id: str | None = None,
        name: str | None = None,
        notes: str | None = None,
        tags: Sequence[str] | None = None,
        config: Mapping[str, Any] | None = None,
        config_exclude_keys: Sequence[str] | None = None,
        config_include_keys: Sequence[str] | None = None,
        allow_val_change: bool | None = None,
        group: str | None = None,
        job_type: str | None = None,
        mode: str | None = None,
        **others: Any,
    ) -> WandbRun:
        """Begin the site's run, or go on with it.

        Args:
            project: default: the job's name. `entity` and `project` are those of the first `init` of a site.
            name: default: the site's name.
            group: default: the id of the federated run.
            mode: "disabled" logs nothing from here.
            others: further ones of the original; `resume="allow"` is what happens anyway.

        Raises:
            RecipeError: an argument has no effect here, or is wrong.
        """
        if others.get("resume") in (True, "allow", "auto"):
            del others["resume"]
        self._refuse({"dir": dir, "id": id, **others})
        if mode not in (None, "disabled"):
            raise RecipeError(f"wandb.init(): mode={mode!r} has no effect here: {_NO_EFFECT}")
        labels = {
            "entity": entity,
            "project": project,
            "name": name,
            "notes": notes,
            "tags": None if tags is None else list(tags),
            "group": group,
            "job_type": job_type,
        }
        said = {key: value for key, value in labels.items() if value is not None}
        run = self._begin(said, disabled=mode == "disabled", allow_val_change=bool(allow_val_change))
        run.config.update(_chosen(config, config_include_keys, config_exclude_keys), allow_val_change)
        return run

    def _refuse(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            if name not in _KNOWN:
                raise RecipeError(f"wandb.init() has no argument {name!r}")
            if value is not None:
                raise RecipeError(f"wandb.init(): {name}={value!r:.60} has no effect here: {_NO_EFFECT}")

    def _begin(self, labels: Mapping[str, Any], *, disabled: bool, allow_val_change: bool) -> WandbRun:
        site, place = current().site_name, self._place()
        with self._lock:
            before = self._runs.get(place)
        # As in the original: a second init() gives the run that is on.
        if before is not None:
            before.label(labels)
            return before
        if disabled:
            run: WandbRun = DisabledRun(site, lambda: self._forget(place))
        else:
            write, flush = self._writer.write, self._writer.flush
            end, change = (lambda: self._forget(place)), allow_val_change
            run = WandbRun(site, write, flush, end, labels=labels, allow_val_change=change)
        with self._lock:
            return self._runs.setdefault(place, run)

    @property
    def run(self) -> WandbRun | None:
        """The site's run, None before init() and after finish()."""
        with self._lock:
            return self._runs.get(self._place())

    @property
    def config(self) -> Facts:
        """What the run was given."""
        return self._active().config

    @property
    def summary(self) -> Facts:
        """What the run came to."""
        return self._active().summary

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log one row; see WandbRun.log."""
        self._active().log(data, step, commit)

    def finish(self, exit_code: int | None = None) -> None:
        """End the site's run here; without one, do nothing."""
        run = self.run
        if run is not None:
            run.finish(exit_code)

    def _active(self) -> WandbRun:
        run = self.run
        if run is None:
            raise RecipeError("wandb: init() comes before that")
        return run

    def _forget(self, place: tuple[str, int]) -> None:
        with self._lock:
            self._runs.pop(place, None)

    def _place(self) -> tuple[str, int]:
        context = current()
        return context.site_name, hash(context.workspace)


_KNOWN = (
    *("dir", "id", "force", "reinit", "resume", "resume_from", "fork_from", "save_code"),
    *("tensorboard", "sync_tensorboard", "monitor_gym", "settings", "anonymous"),
)


def _chosen(
    config: Mapping[str, Any] | None, include: Sequence[str] | None, exclude: Sequence[str] | None
) -> dict[str, Any]:
    if config is not None and not isinstance(config, Mapping):
        raise RecipeError(f"wandb.init(): config={config!r:.60}: a dict is right")
    if include is not None and exclude is not None:
        raise RecipeError("wandb.init(): either config_include_keys or config_exclude_keys is right")
    return {
        name: value
        for name, value in (config or {}).items()
        if (include is None or name in include) and name not in (exclude or ())
    }


#: Takes the place of the module: `from fox_hpc.tracking import wandb`.
wandb = WandbWriter()
