"""The look-alikes take what the originals take; what cannot work here is refused by name."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sites import Sink, at_site

from fox_hpc.api.context import use
from fox_hpc.errors import RecipeError
from fox_hpc.tracking import MLflowWriter, SummaryWriter, WandbWriter
from fox_hpc.tracking.wandb_media import Histogram, Image
from fox_hpc.tracking.wandb_run import Facts
from fox_hpc.tracking.wandb_writer import _KNOWN


def parameters(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "others")]


def public(kind: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]


class Original:
    """A module of another package, read and not imported, for that takes seconds."""

    def __init__(self, package: str, file: str) -> None:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            pytest.skip(f"{package} is not installed")
        self.tree = ast.parse((Path(spec.origin).parent / file).read_text())

    def functions(self, owner: str = "") -> dict[str, list[str]]:
        """Give each function, or method of a class, with the names of its arguments."""
        classes = [node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == owner]
        found = {}
        for node in classes[0].body if owner else self.tree.body:
            if isinstance(node, ast.FunctionDef):
                names = [
                    each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                ]
                found[node.name] = [name for name in names if name != "self"]
        return found


def test_summary_writer_has_the_original_s_methods_and_arguments():
    original = Original("torch", "utils/tensorboard/writer.py").functions("SummaryWriter")
    ours = ["__init__", *(name for name in public(SummaryWriter) if name.startswith("add_"))]

    assert {name: parameters(getattr(SummaryWriter, name)) for name in ours} == {
        name: original[name] for name in ours
    }
    absent = [name for name in original if name.startswith("add_") and name not in ours]
    assert "add_video" in absent
    for name in absent:
        with pytest.raises(AttributeError, match=f"has no {name}: fox-hpc's receivers do not keep"):
            getattr(SummaryWriter(), name)


def test_mlflow_has_the_original_s_functions_and_arguments():
    original = Original("mlflow", "tracking/fluent.py").functions()

    assert {name: parameters(getattr(MLflowWriter, name)) for name in public(MLflowWriter)} == {
        name: original[name] for name in public(MLflowWriter)
    }
    with pytest.raises(AttributeError, match="mlflow has no log_model here"):
        _ = MLflowWriter().log_model


def test_wandb_has_the_original_s_functions_and_arguments():
    init = Original("wandb", "sdk/wandb_init.py").functions()["init"]
    run = Original("wandb", "sdk/wandb_run.py").functions("Run")
    kinds = {name: Original("wandb", f"sdk/data_types/{name.lower()}.py") for name in ("Histogram", "Image")}
    said = parameters(WandbWriter.init)

    assert said == init[: len(said)]
    assert {*said, *_KNOWN} == {*init}
    assert parameters(WandbWriter.log) == run["log"]
    assert parameters(WandbWriter.finish) == run["finish"]
    assert parameters(Histogram) == kinds["Histogram"].functions("Histogram")["__init__"]
    assert parameters(Image) == kinds["Image"].functions("Image")["__init__"]
    config = Original("wandb", "sdk/wandb_config.py").functions("Config")
    assert parameters(Facts.update) == config["update"]
    with pytest.raises(AttributeError, match="wandb has no watch here"):
        _ = WandbWriter().watch


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SummaryWriter("runs/x"), r"log_dir='runs/x' has no effect here: the run's folder"),
        (lambda: SummaryWriter(purge_step=0), "purge_step=0 has no effect here"),
        (lambda: SummaryWriter().add_scalar("x", 1, new_style=True), "new_style=True has no effect here"),
        (lambda: SummaryWriter().add_hparams({}, {}, run_name="r"), "run_name='r' has no effect here"),
        (lambda: SummaryWriter().add_scalar("x", 1, "first"), "step 'first' is not a whole number"),
        (lambda: SummaryWriter().add_scalar("x", 1, 2**63), "does not fit into 64 bits"),
        (lambda: MLflowWriter().start_run(nested=True), "nested=True has no effect here: a site has one run"),
        (lambda: MLflowWriter().start_run(experiment_id="3"), "experiment_id='3' has no effect here"),
        (lambda: MLflowWriter().log_metric("x", 1, synchronous=True), "logging never waits"),
        (lambda: MLflowWriter().log_metric("x", 1, run_id="other"), "run_id='other' has no effect here"),
        (lambda: MLflowWriter().log_metric("x", 1, model_id="m"), "model_id='m' has no effect here"),
        (lambda: MLflowWriter().log_metric("x", "1"), "str is not one number"),
        (lambda: MLflowWriter().end_run("GOOD"), "status 'GOOD' is none of FINISHED, FAILED"),
        (lambda: MLflowWriter().set_experiment(), "a name is right"),
        (lambda: MLflowWriter().log_text("x", "../up.txt"), "'../up.txt' is not a relative path"),
        (lambda: MLflowWriter().log_artifact("no such"), "'no such' is not a file here"),
        (lambda: MLflowWriter().log_artifacts("no such"), "'no such' is not a folder here"),
        (lambda: MLflowWriter().log_image([[1]], "a.jpg"), "does not end with .png"),
        (lambda: MLflowWriter().log_image([[1]]), "either artifact_file or key"),
        (lambda: MLflowWriter().log_figure([], "a.png"), "no matplotlib figure"),
        (lambda: WandbWriter().log({"x": 1}), r"init\(\) comes before"),
        (lambda: WandbWriter().init(mode="online"), "mode='online' has no effect here"),
        (lambda: WandbWriter().init(settings=3), "settings=3 has no effect here"),
        (lambda: WandbWriter().init(proyect="x"), "has no argument 'proyect'"),
        (lambda: WandbWriter().init(config="file.yaml"), "a dict is right"),
        (lambda: WandbWriter().init().log([1]), "a dict is right, not list"),
        (lambda: WandbWriter().init().log({"x": object()}), r"log\(\)\['x'\]: object is not one number"),
        (lambda: WandbWriter.Image([[1]], boxes={"a": 1}), "boxes=.* has no effect here"),
        (lambda: WandbWriter.Histogram(), "either a sequence or"),
        (lambda: WandbWriter.Histogram([1], num_bins=513), "1 to 512 are right"),
    ],
    ids=range(30),
)
def test_what_has_no_effect_here_is_refused_in_a_sentence(call: Callable[[], Any], words: str):
    with use(at_site(Sink())), pytest.raises(RecipeError, match=words):
        call()
