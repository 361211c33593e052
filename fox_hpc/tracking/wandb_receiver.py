"""WandBReceiver: runs of Weights & Biases, one for each site, offline unless told otherwise.

W&B drops rows whose step is not above the last one's. Ranks, and attempts of a site, log steps as they
come, so that a row here has a number of W&B's own, and its step is the column `global_step`, which is
made the x axis of every curve.

Source: https://docs.wandb.ai/ref/python (init, Run.log, Run.define_metric, Settings).
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..environment import TrackingEnv, process_environ
from ..errors import MissingExtra, RunError
from ..metric import Entry, Fact, File, Histogram, Image, Point, Text
from .tracked_run import TrackedRun

#: The column that is the x axis; W&B's own bridge to TensorBoard names it so.
STEP = "global_step"
_ONCE = ("entity", "project")
_NAMES = ("name", "notes", "tags")
_SET = ("group", "job_type")


class WandBReceiver:
    """Writes W&B runs into `wandb/` of the run folder; `wandb sync` sends offline ones to a server later.

    Args:
        project, entity: default: WANDB_PROJECT and WANDB_ENTITY, else the job's name and the account's own.
            What a site's `wandb.init()` says wins.
        mode: "offline" or "online"; default: WANDB_MODE, else "offline".

    Raises:
        MissingExtra: wandb is not installed.
    """

    name = "wandb"

    def __init__(
        self, project: str | None = None, entity: str | None = None, mode: str | None = None
    ) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise MissingExtra("wandb", "wandb", "tracking_type='wandb'")
        self.project, self.entity, self.mode = project, entity, mode
        self._wandb: Any = None
        self._run: TrackedRun | None = None
        self._runs: dict[str, Any] = {}
        self._exit_codes: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<WandBReceiver {self.mode} · {len(self._runs)} sites>"

    def open(self, run: TrackedRun) -> None:
        """See Receiver."""
        try:
            import wandb
        except ImportError as error:
            raise MissingExtra("wandb", "wandb", "tracking_type='wandb'") from error
        environ = TrackingEnv.read(process_environ())
        self.mode = self.mode or environ.wandb_mode or "offline"
        self.project = self.project or environ.wandb_project
        self.entity = self.entity or environ.wandb_entity
        self._wandb, self._run = wandb, run

    def receive(self, site: str, entries: Sequence[Entry]) -> None:
        """Log the entries to the site's run."""
        labels = {one.name: one.value for one in entries if isinstance(one, Fact) and one.role == "label"}
        run = self._named(site, labels)
        params = {one.name: one.value for one in entries if isinstance(one, Fact) and one.role == "param"}
        if params:
            run.config.update(params, allow_val_change=True)
        with tempfile.TemporaryDirectory(prefix="fox-wandb-") as scratch:
            for row in rows_of(entries):
                run.log({name: self._value(entry, scratch) for name, entry in row.items()})
        results = {one.name: one.value for one in entries if isinstance(one, Fact) and one.role == "result"}
        if results:
            run.summary.update(results)
        for entry in entries:
            if isinstance(entry, File):
                self._keep(run, entry)

    def close(self) -> None:
        """Finish the sites' runs."""
        for site, run in self._runs.items():
            run.finish(exit_code=self._exit_codes.get(site, 0))
        self._runs.clear()

    def _named(self, site: str, labels: dict[str, Any]) -> Any:
        said = {name: labels.pop(f"wandb.{name}", None) for name in (*_ONCE, *_NAMES, *_SET)}
        said["name"] = said["name"] or labels.pop("mlflow.runName", None)
        run = self._runs.get(site)
        if run is None:
            run = self._runs[site] = self._begin(site, said)
        else:
            self._rename(site, run, said)
        self._exit_codes[site] = int(labels.pop("wandb.exit_code", self._exit_codes.get(site, 0)))
        if labels.pop("mlflow.runStatus", "") in ("FAILED", "KILLED"):
            self._exit_codes[site] = 1
        if labels:
            # W&B's tags are words without values.
            run.config.update({"labels": {**run.config.get("labels", {}), **labels}}, allow_val_change=True)
        return run

    def _rename(self, site: str, run: Any, said: dict[str, Any]) -> None:
        for name in (*_ONCE, *_SET):
            if said[name] is not None and said[name] != getattr(run, name):
                raise RunError(
                    f"wandb.init({name}={said[name]!r}) of {site} comes after its run has begun "
                    f"with {getattr(run, name)!r}"
                )
        for name in _NAMES:
            if said[name] is not None:
                setattr(run, name, said[name])

    def _begin(self, site: str, said: dict[str, Any]) -> Any:
        assert self._run is not None, "open() comes first"
        settings = self._wandb.Settings(
            # Nothing of the server's process is recorded: what is logged comes from sites.
            console="off",
            silent=True,
            disable_git=True,
            disable_job_creation=True,
            save_code=False,
            x_disable_stats=True,
            x_disable_machine_info=True,
        )
        self._run.folder.joinpath("wandb").mkdir(parents=True, exist_ok=True)
        run = self._wandb.init(
            project=said["project"] or self.project or self._run.job_name,
            entity=said["entity"] or self.entity,
            name=said["name"] or site,
            notes=said["notes"],
            tags=said["tags"],
            group=said["group"] or self._run.run,
            job_type=said["job_type"],
            id=f"{self._run.run}-{site}",
            dir=str(self._run.folder),
            mode=self.mode,
            reinit="create_new",
            settings=settings,
        )
        run.define_metric(STEP, hidden=True)
        run.define_metric("*", step_metric=STEP)
        return run

    def _value(self, entry: Any, scratch: str) -> Any:
        if isinstance(entry, Text):
            return entry.text
        if isinstance(entry, Histogram):
            return self._wandb.Histogram(np_histogram=_with_low(entry))
        if isinstance(entry, Image):
            with tempfile.NamedTemporaryFile(dir=scratch, suffix=".png", delete=False) as file:
                file.write(entry.png)
            return self._wandb.Image(file.name, caption=entry.caption or None)
        return entry

    def _keep(self, run: Any, file: File) -> None:
        path = Path(run.dir) / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        run.save(str(path), base_path=run.dir, policy="now")


def rows_of(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Put neighbours of one step into one row, with STEP and `_timestamp`; no name comes twice in a row."""
    row: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, Fact | File):
            continue
        if row and (entry.tag in row or row.get(STEP) != entry.step):
            yield row
            row = {}
        if not row:
            row["_timestamp"] = entry.wall_time
            if entry.step is not None:
                row[STEP] = entry.step
        row[entry.tag] = entry.value if isinstance(entry, Point) else entry
    if row:
        yield row


def _with_low(entry: Histogram) -> tuple[list[float], list[float]]:
    """Give (counts, edges) as numpy has them: our first bucket is empty and says where the next begins."""
    if len(entry.counts) > 1 and entry.counts[0] == 0:
        return entry.counts[1:], entry.limits
    return entry.counts, [entry.low, *entry.limits]
