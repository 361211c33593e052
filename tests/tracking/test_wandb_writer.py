"""What the look-alike of `wandb` makes of what a script says to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sites import Sink, at_site

from fox_hpc.api.context import use
from fox_hpc.errors import RecipeError
from fox_hpc.metric import Fact, Histogram, Image, Point, Text
from fox_hpc.tracking import WandbWriter
from fox_hpc.tracking.pictures import image


def facts(sink: Sink, role: str) -> list[tuple[str, object]]:
    return [(one.name, one.value) for one in sink.entries if isinstance(one, Fact) and one.role == role]


def rows(sink: Sink) -> list[tuple[str, float, int | None]]:
    return [(one.tag, one.value, one.step) for one in sink.entries if isinstance(one, Point)]


def test_rows_are_counted_unless_a_step_is_said():
    sink, wandb = Sink(), WandbWriter()
    with use(at_site(sink)), wandb.init() as run:
        wandb.log({"a": 1})
        wandb.log({"a": 2, "b": {"c": np.float32(3)}}, commit=False)
        run.log({"a": 4})
        wandb.log({"a": 5}, step=10)
        wandb.log({"a": True}, step=10, commit=True)
        wandb.log({"a": 7})

    assert rows(sink) == [
        ("a", 1.0, 0),
        ("a", 2.0, 1),
        ("b.c", 3.0, 1),
        ("a", 4.0, 1),
        ("a", 5.0, 10),
        ("a", 1.0, 10),
        ("a", 7.0, 11),
    ]


def test_init_names_the_run_and_logs_its_config():
    sink, wandb = Sink(), WandbWriter()
    with use(at_site(sink)):
        run = wandb.init(
            project="p", name="n", tags=("a",), config={"lr": 0.1, "x": 1}, config_exclude_keys=["x"]
        )

        assert wandb.run is run
        assert (run.project, run.name, run.id, run.config.lr) == ("p", "n", "site-1", 0.1)
        wandb.finish()
        assert wandb.run is None
    assert facts(sink, "label") == [("wandb.project", "p"), ("wandb.name", "n"), ("wandb.tags", ["a"])]
    assert facts(sink, "param") == [("lr", 0.1)]


def test_config_has_items_and_attributes_and_changes_only_when_told_to():
    sink, wandb = Sink(), WandbWriter()
    with use(at_site(sink)):
        wandb.init(config={"lr": 1})
        wandb.config.layers = 2
        wandb.config["net"] = "mlp"
        wandb.config.update({"lr": 1})
        wandb.config.setdefaults({"lr": 5, "seed": 7})
        with pytest.raises(RecipeError, match="is 1 already: allow_val_change=True"):
            wandb.config.update({"lr": 2})
        wandb.config.update({"lr": 2}, allow_val_change=True)

        assert wandb.config.as_dict() == {"lr": 2, "layers": 2, "net": "mlp", "seed": 7}
        assert (wandb.config["lr"], wandb.config.get("none"), "net" in wandb.config) == (2, None, True)
        with pytest.raises(AttributeError, match="no none"):
            _ = wandb.config.none
        wandb.finish()
    assert dict(facts(sink, "param")) == {"lr": 2, "layers": 2, "net": "mlp", "seed": 7}


def test_summary_travels_and_an_exit_code_marks_the_run():
    sink, wandb = Sink(), WandbWriter()
    with use(at_site(sink)):
        run = wandb.init()
        wandb.summary["best"] = 1
        wandb.summary.update({"best": 2})
        with pytest.raises(ZeroDivisionError), run:
            _ = 1 / 0

    assert facts(sink, "result") == [("best", 1), ("best", 2)]
    assert facts(sink, "label") == [("wandb.exit_code", 1)]


def test_a_second_init_goes_on_with_the_run():
    wandb = WandbWriter()
    with use(at_site(Sink())):
        assert wandb.init(resume="allow") is wandb.init(name="later")
        assert wandb.run is not None
        assert wandb.run.name == "later"


def test_a_disabled_run_logs_nothing():
    sink, wandb = Sink(), WandbWriter()
    with use(at_site(sink)), wandb.init(mode="disabled", config={"a": 1}):
        wandb.log({"a": 1})

    assert sink.entries == []


def test_texts_histograms_and_images_travel(tmp_path: Path):
    sink, wandb = Sink(), WandbWriter()
    (tmp_path / "p.png").write_bytes(image("x", [[1, 2]], "HW", None, 0.0).png)
    with use(at_site(sink)), wandb.init():
        wandb.log({"note": "hi", "h": wandb.Histogram([1, 2, 2], num_bins=2)})
        wandb.log({"h": wandb.Histogram(np_histogram=np.histogram([0.0, 1.0, 1.0], bins=2))})
        wandb.log({"p": wandb.Image(str(tmp_path / "p.png"), caption="two")})
        wandb.log({"ps": [wandb.Image(np.zeros((2, 3, 3))), wandb.Image(np.zeros((4, 5)))]})

    text, counted, given, file, first, second = sink.entries
    assert isinstance(text, Text)
    assert isinstance(counted, Histogram)
    assert (counted.limits, counted.counts) == ([1.0, 1.5, 2.0], [0.0, 1.0, 2.0])
    assert isinstance(given, Histogram)
    assert (given.count, given.total, given.low, given.high) == (3.0, 1.75, 0.0, 1.0)
    for one, facts in ((file, ("p", 2, 1, "two")), (first, ("ps/0", 3, 2, "")), (second, ("ps/1", 5, 4, ""))):
        assert isinstance(one, Image)
        assert (one.tag, one.width, one.height, one.caption) == facts
