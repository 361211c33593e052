"""What MLflow's own client reads back from the store that the receiver has written."""

from __future__ import annotations

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from logged import all_kinds
from logging_sites import recipe

from fox_hpc import SimEnv
from fox_hpc.errors import MissingExtra, RunError
from fox_hpc.metric import Entry, Fact, Point
from fox_hpc.tracking import MLflowReceiver, TrackedRun

pytestmark = [
    # Looked for and not loaded: that takes seconds, in each process that collects the tests.
    pytest.mark.skipif(
        not (find_spec("mlflow") and find_spec("alembic")), reason="needs MLflow with a store"
    ),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run folder with a store of two sites, and MLflow's client for it."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("run")
    receiver = MLflowReceiver()
    receiver.open(TrackedRun("run-1", "job", folder))
    receiver.receive("site-1", all_kinds())
    receiver.receive("site-1", [Fact("param", "lr", 0.2, 1006.0), Fact("param", "odd (name)", "x", 1006.0)])
    many: list[Entry] = [Point("acc @ 1", float(step), step, 2000.0 + step) for step in range(2500)]
    receiver.receive("site-2", [Fact("label", "mlflow.experimentName", "other", 1.0), *many])
    receiver.receive("site-2", [Point("odd", math.nan, None, 1.0)])
    receiver.receive("site-2", [Fact("label", "mlflow.runStatus", "FAILED", 1.0)])
    with pytest.raises(RunError, match=r"set_experiment\('late'\) of site-1 comes after"):
        receiver.receive("site-1", [Fact("label", "mlflow.experimentName", "late", 1.0)])
    receiver.close()
    return folder, MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}")


def run_of(client: Any, experiment: str, site: str) -> Any:
    found = client.get_experiment_by_name(experiment)
    [run] = client.search_runs([found.experiment_id], f"tags.\"fox.site\" = '{site}'")
    return run


def test_each_site_has_one_run_in_the_job_s_experiment(store: tuple[Path, Any]):
    run = run_of(store[1], "job", "site-1")

    assert (run.info.run_name, run.info.status, run.info.start_time) == ("site-1", "FINISHED", 1_000_000)
    assert run.data.tags["fox.run"] == "run-1"


def test_a_curve_is_read_back_in_order(store: tuple[Path, Any]):
    client = store[1]
    history = client.get_metric_history(run_of(client, "job", "site-1").info.run_id, "train/loss")

    assert [(one.step, one.value, one.timestamp) for one in history] == [
        (step, 1 / (1 + step), 1_000_000 + 1000 * step) for step in range(5)
    ]


def test_more_points_than_one_batch_takes_are_all_there_under_a_name_that_is_allowed(
    store: tuple[Path, Any],
):
    client = store[1]
    run = run_of(client, "other", "site-2")
    history = client.get_metric_history(run.info.run_id, "acc _ 1")

    assert [one.value for one in history] == list(range(2500))
    assert math.isnan(run.data.metrics["odd"])
    assert run.info.status == "FAILED"


def test_params_labels_and_results_are_read_back_and_what_changes_is_a_tag(store: tuple[Path, Any]):
    data = run_of(store[1], "job", "site-1").data

    assert data.params == {"lr": "0.1", "net": "mlp", "odd _name_": "x"}
    assert (data.tags["team"], data.tags["param.lr"], data.tags["result.best"]) == ("blue", "0.2", "0.2")


def test_everything_else_is_an_artifact(store: tuple[Path, Any]):
    folder, client = store
    run_id = run_of(client, "job", "site-1").info.run_id
    top = folder / "mlflow" / "artifacts" / run_id / "artifacts"

    assert (top / "notes" / "end.txt").read_bytes() == b"done"
    assert (top / "texts" / "note" / "4.txt").read_text() == "all *well*"
    assert (top / "images" / "digit" / "4.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((top / "histograms" / "weights" / "4.json").read_text())["counts"] == [0, 1, 2]
    assert {one.path for one in client.list_artifacts(run_id)} == {"notes", "texts", "images", "histograms"}


@pytest.mark.timeout(300)
def test_a_run_with_every_receiver_writes_to_each_and_to_the_store_that_the_environment_names(
    store: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wandb = pytest.importorskip("wandb")
    folder, client = store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "chosen")
    monkeypatch.chdir(tmp_path)
    made = recipe(["tensorboard", "mlflow", "wandb"], "use_all")
    run = made.execute(SimEnv(2, tmp_path))
    run.result(200)
    # W&B's own service stays until its process ends.
    wandb.teardown()

    record = run.record()
    assert (record.dropped, record.unwritten, record.notices) == ({}, {}, [])
    for site in ("site-1", "site-2"):
        data = run_of(client, "chosen", site).data
        assert data.metrics == {"tb/loss": 0.5, "ml/loss": 0.25, "wb/loss": 0.125}
        assert data.params == {"lr": "0.1", "layers": "3"}
        assert list((run.workspace / "tensorboard" / site).glob("events.*"))
        assert list((run.workspace / "wandb").glob(f"offline-run-*-{site}/*.wandb"))
    # The store has no place for files, and the current directory is none of its business.
    assert [path.name for path in (run.workspace / "mlflow").iterdir()] == ["artifacts"]
    assert len(list(run.workspace.glob("mlflow/artifacts/*/artifacts/texts/tb/note/1.txt"))) == 2


def test_a_missing_mlflow_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(MissingExtra, match=r"needs mlflow: pip install 'fox-hpc\[mlflow\]'"):
        MLflowReceiver()
