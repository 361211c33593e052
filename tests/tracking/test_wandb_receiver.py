"""What W&B's offline file holds of what was logged, read with W&B's own messages."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from logged import all_kinds

from fox_hpc.errors import MissingExtra, RunError
from fox_hpc.metric import Fact, Point
from fox_hpc.tracking import TrackedRun, WandBReceiver
from fox_hpc.tracking.wandb_receiver import rows_of

pytestmark = pytest.mark.skipif(not find_spec("wandb"), reason="needs W&B")


def records(file: Path) -> Iterator[Any]:
    """Give the records of a .wandb file: LevelDB's log format behind a header of seven bytes.

    Source: https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    from wandb.proto import wandb_internal_pb2

    data, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def tree(items: Iterable[Any]) -> dict[str, Any]:
    """Put named JSON values into the dicts that their names lead through."""
    found: dict[str, Any] = {}
    for item in items:
        *way, last = item.nested_key or [item.key]
        place = found
        for name in way:
            place = place.setdefault(name, {})
        place[last] = json.loads(item.value_json)
    return found


class Offline:
    """One site's run, as its offline file tells it."""

    def __init__(self, folder: Path, site: str) -> None:
        [self.folder] = folder.glob(f"wandb/offline-run-*-run-1-{site}")
        [file] = self.folder.glob("*.wandb")
        self.records = list(records(file))

    def all(self, kind: str) -> list[Any]:
        return [getattr(one, kind) for one in self.records if one.WhichOneof("record_type") == kind]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [tree(one.item) for one in self.all("history")]

    @property
    def config(self) -> dict[str, Any]:
        updates = [*self.all("run")[0].config.update]
        updates += [item for one in self.all("config") for item in one.update]
        return tree(updates)

    @property
    def summary(self) -> dict[str, Any]:
        return tree([item for one in self.all("summary") for item in one.update])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the offline runs of two sites."""
    made = tmp_path_factory.mktemp("run")
    receiver = WandBReceiver()
    receiver.open(TrackedRun("run-1", "job", made))
    receiver.receive("site-1", all_kinds())
    named = {"wandb.project": "mine", "wandb.name": "second", "wandb.tags": ["a", "b"], "wandb.notes": "n"}
    receiver.receive("site-2", [Fact("label", name, value, 1.0) for name, value in named.items()])
    receiver.receive("site-2", [Point("x", 1.0, 7, 1.0), Point("x", 2.0, 3, 2.0)])
    receiver.receive("site-2", [Fact("param", "lr", 1, 1.0), Fact("param", "lr", 2, 1.0)])
    with pytest.raises(RunError, match=r"wandb.init\(project='other'\) of site-2 comes after"):
        receiver.receive("site-2", [Fact("label", "wandb.project", "other", 1.0)])
    receiver.receive("site-2", [Fact("label", "wandb.exit_code", 3, 1.0)])
    receiver.close()
    return made


def test_each_site_has_one_run_in_the_job_s_project(folder: Path):
    [run] = Offline(folder, "site-1").all("run")[-1:]

    assert (run.project, run.display_name, run.run_group) == ("job", "site-1", "run-1")


def test_rows_are_read_back_in_order_with_their_steps_and_times(folder: Path):
    rows = Offline(folder, "site-1").rows

    assert [(row["global_step"], row["train/loss"], row["_timestamp"]) for row in rows] == [
        (step, 1 / (1 + step), 1000.0 + step) for step in range(5)
    ]
    assert (rows[4]["train/acc"], rows[4]["note"]) == (0.5, "all *well*")
    assert rows[4]["weights"] == {"_type": "histogram", "values": [1, 2], "bins": [-2.0, 0.0, 2.0]}


def test_an_image_and_a_file_lie_in_the_run_s_files(folder: Path):
    offline = Offline(folder, "site-1")
    image = offline.rows[4]["digit"]

    assert (image["width"], image["height"], image["format"]) == (2, 1, "png")
    assert (offline.folder / "files" / image["path"]).read_bytes()[:4] == b"\x89PNG"
    assert (offline.folder / "files" / "notes" / "end.txt").read_bytes() == b"done"


def test_params_labels_and_results_are_read_back(folder: Path):
    offline = Offline(folder, "site-1")

    assert (offline.config["lr"], offline.config["net"]) == (0.1, "mlp")
    assert offline.config["labels"] == {"team": "blue"}
    assert offline.summary["best"] == 0.2


def test_what_a_site_says_of_its_run_is_what_it_is_called(folder: Path):
    offline = Offline(folder, "site-2")
    run = offline.all("run")[-1]

    assert (run.project, run.display_name, run.notes) == ("mine", "second", "n")
    assert sorted(run.tags) == ["a", "b"]
    assert offline.config["lr"] == 2
    assert offline.all("exit")[0].exit_code == 3


def test_a_step_that_goes_back_is_kept(folder: Path):
    assert [(row["global_step"], row["x"]) for row in Offline(folder, "site-2").rows] == [(7, 1.0), (3, 2.0)]


def test_neighbours_of_one_step_are_one_row():
    entries = [
        Point("a", 1.0, 0, 1.0),
        Point("b", 2.0, 0, 1.5),
        Point("a", 3.0, 0, 2.0),
        Point("a", 4.0, None, 3.0),
    ]

    assert list(rows_of(entries)) == [
        {"_timestamp": 1.0, "global_step": 0, "a": 1.0, "b": 2.0},
        {"_timestamp": 2.0, "global_step": 0, "a": 3.0},
        {"_timestamp": 3.0, "a": 4.0},
    ]


def test_a_missing_wandb_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", None)

    with pytest.raises(MissingExtra, match=r"needs wandb: pip install 'fox-hpc\[wandb\]'"):
        WandBReceiver()
