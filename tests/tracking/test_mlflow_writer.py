"""What the look-alike of `mlflow` makes of what a script says to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sites import Sink, at_site

from fox_hpc.api.context import use
from fox_hpc.errors import RecipeError
from fox_hpc.metric import Fact, File, Image, Point
from fox_hpc.tracking import MLflowWriter


def facts(sink: Sink, role: str) -> dict[str, object]:
    return {one.name: one.value for one in sink.entries if isinstance(one, Fact) and one.role == role}


def files(sink: Sink) -> dict[str, bytes]:
    return {one.path: one.data for one in sink.entries if isinstance(one, File)}


def test_metrics_params_and_tags_travel():
    sink, mlflow = Sink(), MLflowWriter()
    with use(at_site(sink)):
        mlflow.log_metric("loss", 0.5, step=3, timestamp=2500)
        mlflow.log_metrics({"acc": 1}, timestamp=1000)
        assert mlflow.log_param("lr", 0.1) == 0.1
        mlflow.set_tags({"team": "blue"})
        mlflow.flush_async_logging()

    assert [one for one in sink.entries if isinstance(one, Point)] == [
        Point("loss", 0.5, 3, 2.5),
        Point("acc", 1.0, 0, 1.0),
    ]
    assert (facts(sink, "param"), facts(sink, "label")) == ({"lr": 0.1}, {"team": "blue"})


def test_a_run_is_named_and_ends_with_its_block():
    sink, mlflow = Sink(), MLflowWriter()
    with use(at_site(sink)):
        with mlflow.start_run(run_name="first", tags={"a": 1}, description="why") as run:
            assert mlflow.active_run() is run
            assert (run.info.run_id, run.info.run_name) == ("site-1", "first")
        assert mlflow.active_run() is None

    assert facts(sink, "label") == {
        "a": 1,
        "mlflow.runName": "first",
        "mlflow.note.content": "why",
        "mlflow.runStatus": "FINISHED",
    }


def test_a_block_that_raises_ends_its_run_as_failed():
    sink, mlflow = Sink(), MLflowWriter()
    with use(at_site(sink)), pytest.raises(ZeroDivisionError), mlflow.start_run():
        _ = 1 / 0

    assert facts(sink, "label") == {"mlflow.runStatus": "FAILED"}


def test_logging_begins_a_run_and_a_second_one_is_refused_while_it_is_on():
    mlflow = MLflowWriter()
    with use(at_site(Sink())):
        mlflow.log_metric("x", 1)
        with pytest.raises(RecipeError, match="active already"):
            mlflow.start_run()
        mlflow.end_run()
        mlflow.start_run()


def test_every_site_of_a_process_has_a_run_of_its_own():
    mlflow = MLflowWriter()
    with use(at_site(Sink(), "site-1")):
        mlflow.start_run()
    with use(at_site(Sink(), "site-2")):
        assert mlflow.active_run() is None


def test_texts_dicts_images_and_artifacts_are_files(tmp_path: Path):
    sink, mlflow = Sink(), MLflowWriter()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.bin").write_bytes(b"b")
    (tmp_path / "a.txt").write_text("a")
    with use(at_site(sink)):
        mlflow.log_text("hello", "notes/a.txt")
        mlflow.log_dict({"a": 1}, "d.json")
        mlflow.log_image([[0, 255]], "p.png")
        mlflow.log_artifact(str(tmp_path / "a.txt"), "one")
        mlflow.log_artifacts(str(tmp_path), "all")

    found = files(sink)
    assert found.pop("p.png")[:4] == b"\x89PNG"
    assert json.loads(found.pop("d.json")) == {"a": 1}
    assert found == {
        "notes/a.txt": b"hello",
        "one/a.txt": b"a",
        "all/a.txt": b"a",
        "all/in/b.bin": b"b",
    }


def test_an_image_with_a_key_is_one_of_a_series():
    sink, mlflow = Sink(), MLflowWriter()
    with use(at_site(sink)):
        mlflow.log_image([[[1, 2, 3]]], key="digit", step=4, timestamp=1000)

    [image] = sink.entries
    assert isinstance(image, Image)
    assert (image.tag, image.step, image.wall_time, image.channels) == ("digit", 4, 1.0, 3)


def test_an_experiment_can_be_chosen():
    sink, mlflow = Sink(), MLflowWriter()
    with use(at_site(sink)):
        mlflow.set_experiment("mine")

    assert facts(sink, "label") == {"mlflow.experimentName": "mine"}
