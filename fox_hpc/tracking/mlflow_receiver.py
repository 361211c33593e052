"""MLflowReceiver: runs in an MLflow store, one for each site, in one experiment for a job.

Source: https://mlflow.org/docs/latest/api_reference/python_api/mlflow.client.html; a batch takes at most
1,000 metrics, 100 params and 100 tags (MLflow REST API, "Log Batch").
"""

from __future__ import annotations

import importlib.util
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..environment import TrackingEnv, process_environ
from ..errors import MissingExtra, RunError
from ..metric import Entry, Fact, File, Histogram, Image, Point, Text
from .artifacts import as_file
from .tracked_run import TrackedRun

log = logging.getLogger(__name__)

MOST_METRICS, MOST_PARAMS, MOST_TAGS = 1000, 100, 100
_ODD = re.compile(r"[^\w .:/-]")


@dataclass
class _SiteRun:
    run_id: str
    status: str = "FINISHED"
    params: dict[str, str] = field(default_factory=dict)
    files: int = 0


class MLflowReceiver:
    """Writes to an MLflow store: metrics, params and tags as such, everything else as artifacts.

    A character that MLflow does not allow in a metric's or param's name becomes an underscore.

    Args:
        tracking_uri: a server's or a database's address; default: MLFLOW_TRACKING_URI, else a SQLite file
            `mlflow/mlflow.db` in the run folder. With a database, the artifacts of an experiment that is
            new lie in `mlflow/artifacts` of the run folder.
        experiment: default: MLFLOW_EXPERIMENT_NAME, else the job's name. A site's own set_experiment() wins.

    Raises:
        MissingExtra: mlflow is not installed.
    """

    name = "mlflow"

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise MissingExtra("mlflow", "mlflow", "tracking_type='mlflow'")
        self.tracking_uri, self.experiment = tracking_uri, experiment
        self._client: Any = None
        self._run: TrackedRun | None = None
        self._artifacts: str | None = None
        self._runs: dict[str, _SiteRun] = {}

    def __repr__(self) -> str:
        return f"<MLflowReceiver {self.tracking_uri} · {len(self._runs)} sites>"

    def open(self, run: TrackedRun) -> None:
        """See Receiver."""
        environ = TrackingEnv.read(process_environ())
        uri = self.tracking_uri or environ.mlflow_uri
        folder = run.folder / "mlflow"
        if not uri:
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{folder / 'mlflow.db'}"
        if not uri.startswith(("http:", "https:", "databricks")):
            # A database keeps no files; MLflow would put them below the current directory.
            self._artifacts = (folder / "artifacts").as_uri()
        self.tracking_uri = uri
        self.experiment = self.experiment or environ.mlflow_experiment or run.job_name
        try:
            # It takes seconds to load, which is why it is not met before something is logged.
            from mlflow.tracking import MlflowClient

            logging.getLogger("alembic").setLevel(logging.WARNING)
            self._client = MlflowClient(tracking_uri=uri)
        except ImportError as error:
            # A database takes sqlalchemy and alembic, which mlflow-skinny alone does not bring.
            raise MissingExtra("mlflow", "mlflow", f"an MLflow store at {uri}") from error
        self._run = run

    def receive(self, site: str, entries: Sequence[Entry]) -> None:
        """Write the entries to the site's run, in batches."""
        labels = {one.name: one.value for one in entries if isinstance(one, Fact) and one.role == "label"}
        experiment = labels.pop("mlflow.experimentName", None)
        run = self._runs.get(site)
        if run is None:
            run = self._runs[site] = self._begin(
                site, str(experiment or self.experiment), entries[0].wall_time
            )
        elif experiment is not None:
            raise RunError(f"set_experiment({experiment!r}) of {site} comes after it has logged something")
        run.status = str(labels.pop("mlflow.runStatus", run.status))
        if labels.get("wandb.exit_code"):
            run.status = "FAILED"
        if "wandb.name" in labels:
            labels.setdefault("mlflow.runName", labels["wandb.name"])
        self._write_points(run, entries)
        self._write_facts(run, labels, entries)
        for entry in entries:
            if isinstance(entry, File | Text | Image | Histogram):
                self._keep(run, *as_file(entry, run.files))
                run.files += 1

    def close(self) -> None:
        """End the sites' runs."""
        for run in self._runs.values():
            status = run.status if run.status not in ("RUNNING", "SCHEDULED") else "FINISHED"
            self._client.set_terminated(run.run_id, status)
        self._runs.clear()

    def _begin(self, site: str, experiment: str, began: float) -> _SiteRun:
        assert self._run is not None, "open() comes first"
        found = self._client.get_experiment_by_name(experiment)
        where = (
            self._client.create_experiment(experiment, artifact_location=self._artifacts)
            if found is None
            else found.experiment_id
        )
        tags = {"fox.run": self._run.run, "fox.site": site, "fox.job": self._run.job_name}
        made = self._client.create_run(where, start_time=int(began * 1000), tags=tags, run_name=site)
        return _SiteRun(made.info.run_id)

    def _write_points(self, run: _SiteRun, entries: Sequence[Entry]) -> None:
        from mlflow.entities import Metric

        # A wall time in ms, a step that is always there: MLflow has no other.
        metrics = [
            Metric(allowed(one.tag), one.value, int(one.wall_time * 1000), one.step or 0)
            for one in entries
            if isinstance(one, Point)
        ]
        for part in _parts(metrics, MOST_METRICS):
            self._client.log_batch(run.run_id, metrics=part)

    def _write_facts(self, run: _SiteRun, labels: dict[str, Any], entries: Sequence[Entry]) -> None:
        from mlflow.entities import Param, RunTag

        new: dict[str, str] = {}
        for one in entries:
            if isinstance(one, Fact) and one.role != "label":
                name, value = allowed(one.name), str(one.value)
                if one.role == "result" or run.params.get(name, value) != value:
                    # A param never changes in MLflow: what a site changes later is a tag.
                    labels[f"{one.role}.{name}"] = value
                elif name not in run.params:
                    new[name] = value
        for part in _parts([Param(name, value) for name, value in new.items()], MOST_PARAMS):
            self._client.log_batch(run.run_id, params=part)
        run.params |= new
        tags = [RunTag(allowed(name), str(value)) for name, value in labels.items()]
        for part in _parts(tags, MOST_TAGS):
            self._client.log_batch(run.run_id, tags=part)

    def _keep(self, run: _SiteRun, path: str, data: bytes) -> None:
        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory(prefix="fox-mlflow-") as scratch:
            file = Path(scratch) / name
            file.write_bytes(data)
            self._client.log_artifact(run.run_id, str(file), folder or None)


def allowed(name: str) -> str:
    """Give a name that MLflow takes: letters, digits, underscores, dashes, dots, blanks, colons, slashes."""
    return _ODD.sub("_", name).strip("/") or "_"


def _parts(things: list[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(things), size):
        yield things[first : first + size]
