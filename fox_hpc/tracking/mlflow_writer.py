"""MLflowWriter: what the module `mlflow` is to a training script, without MLflow at the site.

A site has one run, which begins with the first thing that it logs; `start_run` gives it a name, tags and a
description, and goes on with it when called again. The server's receiver keeps it.

Source: the fluent API of mlflow 3 (https://mlflow.org/docs/latest/api_reference/python_api/mlflow.html),
whose names and arguments these are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..api.context import current
from ..errors import RecipeError
from ..metric import File
from . import pictures
from .mlflow_run import ActiveRun, RunInfo
from .values import fact, moment, point, refuse_given, whole
from .writer import AutoWriter

_ONE_RUN = "a site has one run, and what is logged here belongs to it"
_SERVER = "the server's receiver decides where runs are kept: MLFLOW_TRACKING_URI, or MLflowReceiver()"
_ABSENT = (
    "fox-hpc's `mlflow` logs metrics, params, tags, texts, dicts, figures, images and artifacts; for more, "
)
_STATUSES = ("FINISHED", "FAILED", "KILLED", "SCHEDULED", "RUNNING")


class MLflowWriter:
    """Logs as `mlflow` does; one object for all sites and threads of a process."""

    def __init__(self) -> None:
        self._writer = AutoWriter()
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, int], ActiveRun] = {}

    def __repr__(self) -> str:
        return f"<fox_hpc.tracking.mlflow · {self._writer!r}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"mlflow has no {name} here: {_ABSENT}use MLflow itself at the server")

    def start_run(
        self,
        run_id: str | None = None,
        experiment_id: str | None = None,
        run_name: str | None = None,
        nested: bool = False,
        parent_run_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        description: str | None = None,
        log_system_metrics: bool | None = None,
    ) -> ActiveRun:
        """Begin the site's run, or go on with it; it can be used as a context manager.

        Raises:
            RecipeError: the run is active already, or an argument has no effect here.
        """
        refuse_given("start_run()", _ONE_RUN, nested=nested, parent_run_id=parent_run_id)
        refuse_given("start_run()", _SERVER, experiment_id=experiment_id)
        why = "fox-hpc does not measure the machine"
        refuse_given("start_run()", why, log_system_metrics=log_system_metrics)
        self._check_run("start_run()", run_id)
        if self.active_run() is not None:
            raise RecipeError("start_run(): the site's run is active already: end_run() comes before that")
        labels = dict(tags or {})
        if run_name is not None:
            labels["mlflow.runName"] = run_name
        if description is not None:
            labels["mlflow.note.content"] = description
        return self._activate(run_name, labels)

    def _activate(self, run_name: str | None, labels: Mapping[str, Any]) -> ActiveRun:
        site = current().site_name
        run = ActiveRun(self.end_run, RunInfo(site, run_name or site))
        with self._lock:
            self._runs[self._place()] = run
        if labels:
            self.set_tags(labels)
        return run

    def end_run(self, status: str = "FINISHED") -> None:
        """End the site's run; what is logged afterwards goes on with it.

        Raises:
            RecipeError: there is no such status.
        """
        if status not in _STATUSES:
            raise RecipeError(f"end_run(): status {status!r} is none of {', '.join(_STATUSES)}")
        with self._lock:
            ended = self._runs.pop(self._place(), None)
        if ended is not None:
            self._writer.write([fact("label", "mlflow.runStatus", status)])
            self._writer.flush()

    def active_run(self) -> ActiveRun | None:
        """Give the site's run if it has begun and not ended."""
        with self._lock:
            return self._runs.get(self._place())

    def set_experiment(
        self, experiment_name: str | None = None, experiment_id: str | None = None, trace_location: Any = None
    ) -> None:
        """Choose the experiment of the site's run; the job's name is the default. It comes before all else.

        Raises:
            RecipeError: there is no name, or something else was given.
        """
        refuse_given("set_experiment()", _SERVER, experiment_id=experiment_id, trace_location=trace_location)
        if not experiment_name:
            raise RecipeError("set_experiment(): a name is right")
        self._writer.write([fact("label", "mlflow.experimentName", experiment_name)])

    def log_metric(
        self,
        key: str,
        value: float,
        step: int | None = None,
        synchronous: bool | None = None,
        timestamp: int | None = None,
        run_id: str | None = None,
        model_id: str | None = None,
        dataset: Any = None,
    ) -> None:
        """Log one number; `timestamp` is in ms since the epoch."""
        self.log_metrics({key: value}, step, synchronous, run_id, timestamp, model_id, dataset)

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        step: int | None = None,
        synchronous: bool | None = None,
        run_id: str | None = None,
        timestamp: int | None = None,
        model_id: str | None = None,
        dataset: Any = None,
    ) -> None:
        """Log several numbers of one step.

        Raises:
            RecipeError: a value is not one number, or an argument has no effect here.
        """
        where = "log_metrics()"
        self._check(where, synchronous, run_id)
        why = "models and datasets are not known to fox-hpc's receivers"
        refuse_given(where, why, model_id=model_id, dataset=dataset)
        now = moment(None if timestamp is None else timestamp / 1000)
        # MLflow gives a metric without a step the step 0.
        at = 0 if step is None else step
        self._log([point(f"{where}[{key!r}]", key, value, at, now) for key, value in metrics.items()])

    def log_param(self, key: str, value: Any, synchronous: bool | None = None) -> Any:
        """Log what the run was given, and give it back."""
        self.log_params({key: value}, synchronous)
        return value

    def log_params(
        self, params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None
    ) -> None:
        """Log what the run was given."""
        self._check("log_params()", synchronous, run_id)
        self._log([fact("param", key, value) for key, value in params.items()])

    def set_tag(self, key: str, value: Any, synchronous: bool | None = None) -> None:
        """Label the run."""
        self.set_tags({key: value}, synchronous)

    def set_tags(self, tags: Mapping[str, Any], synchronous: bool | None = None) -> None:
        """Label the run."""
        self._check("set_tags()", synchronous, None)
        self._log([fact("label", key, value) for key, value in tags.items()])

    def log_text(self, text: str, artifact_file: str, run_id: str | None = None) -> None:
        """Keep a text as a file of the run."""
        self._keep("log_text()", artifact_file, str(text).encode(), run_id)

    def log_dict(self, dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
        """Keep a dict as a file of the run: JSON, of which YAML is a superset."""
        text = json.dumps(dictionary, indent=2, default=str)
        self._keep("log_dict()", artifact_file, text.encode(), run_id)

    def log_figure(
        self, figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Keep a matplotlib figure as a file of the run, in the format that the file's name ends with."""
        options = {"format": PurePosixPath(artifact_file).suffix.lstrip(".") or "png", **(save_kwargs or {})}
        self._keep("log_figure()", artifact_file, pictures.figure_png(figure, **options), None)

    def log_image(
        self,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = False,
    ) -> None:
        """Keep a picture (axes HW or HWC) as a PNG file of the run, or under a key as one of a series.

        Raises:
            RecipeError: both or neither of artifact_file and key were given.
        """
        self._check("log_image()", synchronous, None)
        if (artifact_file is None) == (key is None):
            raise RecipeError("log_image(): either artifact_file or key is right")
        now = moment(None if timestamp is None else timestamp / 1000)
        array = pictures.as_array(image)
        found = pictures.image(
            key or str(artifact_file),
            array,
            "HW" if array.ndim == 2 else "HWC",
            whole("log_image()", step),
            now,
        )
        if artifact_file is not None:
            if not artifact_file.lower().endswith(".png"):
                raise RecipeError(f"log_image(): {artifact_file!r} does not end with .png, which is written")
            self._keep("log_image()", artifact_file, found.png, None)
        else:
            self._log([found])

    def log_artifact(
        self, local_path: str, artifact_path: str | None = None, run_id: str | None = None
    ) -> None:
        """Keep a file of this machine as a file of the run, in the folder `artifact_path`."""
        path = Path(local_path)
        if not path.is_file():
            raise RecipeError(f"log_artifact(): {local_path!r} is not a file here")
        name = str(PurePosixPath(artifact_path or "") / path.name)
        self._keep("log_artifact()", name, path.read_bytes(), run_id)

    def log_artifacts(
        self, local_dir: str, artifact_path: str | None = None, run_id: str | None = None
    ) -> None:
        """Keep all files of a folder, with the folders that they are in."""
        top = Path(local_dir)
        if not top.is_dir():
            raise RecipeError(f"log_artifacts(): {local_dir!r} is not a folder here")
        for path in sorted(one for one in top.rglob("*") if one.is_file()):
            name = str(PurePosixPath(artifact_path or "") / path.relative_to(top).as_posix())
            self._keep("log_artifacts()", name, path.read_bytes(), run_id)

    def flush_async_logging(self) -> None:
        """Hand on what waits in this process."""
        self._writer.flush()

    def _keep(self, where: str, path: str, data: bytes, run_id: str | None) -> None:
        self._check_run(where, run_id)
        try:
            self._log([File(str(path), data, moment(None))])
        except ValueError as error:
            raise RecipeError(f"{where}: {error}") from error

    def _log(self, entries: Any) -> None:
        # As in the original: logging without a run begins one.
        if self.active_run() is None:
            self._activate(None, {})
        self._writer.write(entries)

    def _check(self, where: str, synchronous: bool | None, run_id: str | None) -> None:
        if synchronous:
            raise RecipeError(f"{where}: synchronous=True has no effect here: logging never waits")
        self._check_run(where, run_id)

    def _check_run(self, where: str, run_id: str | None) -> None:
        if run_id is not None and run_id != current().site_name:
            raise RecipeError(f"{where}: run_id={run_id!r} has no effect here: {_ONE_RUN}")

    def _place(self) -> tuple[str, int]:
        context = current()
        # Two runs of one process may both have a site-1; their folders are two objects.
        return context.site_name, hash(context.workspace)


#: Takes the place of the module: `from fox_hpc.tracking import mlflow`.
mlflow = MLflowWriter()
