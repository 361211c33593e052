"""What TensorBoard's own reader and its page show of what was written."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from logged import all_kinds

from fox_hpc.metric import Fact, Point
from fox_hpc.tracking import TensorBoardReceiver, TrackedRun

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Event files of two sites."""
    folder = tmp_path_factory.mktemp("run")
    receiver = TensorBoardReceiver()
    receiver.open(TrackedRun("run-1", "job", folder))
    receiver.receive("site-1", all_kinds())
    receiver.receive("site-1", [Fact("param", "lr", 0.2, 1006.0)])
    curve = [Point("train/loss", 2 / (1 + step), step, 1000.0 + step) for step in range(5)]
    receiver.receive("site-2", curve)
    receiver.close()
    return folder / "tensorboard"


@pytest.fixture(scope="module")
def events(logdir: Path) -> accumulator.EventAccumulator:
    found = accumulator.EventAccumulator(str(logdir / "site-1"), size_guidance={"scalars": 0})
    return found.Reload()


def test_scalars_are_read_back(events: accumulator.EventAccumulator):
    assert [(one.step, one.wall_time) for one in events.Scalars("train/loss")] == [
        (step, 1000.0 + step) for step in range(5)
    ]


def test_texts_labels_and_results_are_read_back(events: accumulator.EventAccumulator):
    def text(tag: str) -> str:
        return events.Tensors(tag)[-1].tensor_proto.string_val[0].decode()

    assert text("note") == "all *well*"
    assert text("labels/team") == "blue"
    assert text("results/best") == "0.2"
    assert {"note", "labels/team", "results/best"} <= events.PluginTagToContent("text").keys()


def test_a_histogram_is_read_back(events: accumulator.EventAccumulator):
    [found] = events.Histograms("weights")

    value = found.histogram_value
    assert (found.step, value.num, value.min, value.max) == (4, 3.0, -1.0, 2.0)
    assert (list(value.bucket_limit), list(value.bucket)) == ([-2.0, 0.0, 2.0], [0.0, 1.0, 2.0])


def test_an_image_is_read_back(events: accumulator.EventAccumulator):
    image_module = pytest.importorskip("PIL.Image")
    [found] = events.Images("digit")

    import io

    picture = image_module.open(io.BytesIO(found.encoded_image_string))
    assert (picture.size, picture.mode) == ((2, 1), "RGB")
    assert [picture.getpixel((x, 0)) for x in range(2)] == [(255, 0, 0), (0, 0, 255)]


def test_params_are_the_site_s_hyperparameters(events: accumulator.EventAccumulator):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    start = HParamsPluginData.FromString(content).session_start_info
    assert start.group_name == "site-1"
    # The accumulator keeps the first; the page's reader, the last.
    assert start.hparams["lr"].number_value == 0.1


def test_a_file_lies_beside_the_event_file(logdir: Path):
    assert (logdir / "site-1" / "files" / "notes" / "end.txt").read_bytes() == b"done"


@pytest.fixture
def page(logdir: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows the event files."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", "0", "--host"]
    command += ["127.0.0.1", "--load_fast", "false", "--reload_interval", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = iter(server.stderr.readline, "")
            line = next(line for line in lines if "http://" in line)
            yield line[line.index("http://") :].split()[0]
        finally:
            server.terminate()


#: The colours that TensorBoard gives to its first two runs.
COLOURS = {"site-1": (0x42, 0x50, 0x66), "site-2": (0x12, 0xB5, 0xCB)}


def take_picture(page: str, shot: Path, profile: Path) -> None:
    """Let Chromium open the page and draw it as it is 20 s later, by the page's own clock."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    # Without WebGL the page draws its curves itself, and not in a worker that its clock does not wait for.
    options += ["--disable-3d-apis"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    options += [f"--user-data-dir={profile}", "--window-size=1400,900", "--virtual-time-budget=20000"]
    command = ["chromium", *options, f"--screenshot={shot}", f"{page}#timeseries"]
    with (
        (shot.parent / "chromium.log").open("ab") as log,
        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as chromium,
    ):
        try:
            # With that clock a headless Chromium stands still now and then; the caller tries again.
            with contextlib.suppress(subprocess.TimeoutExpired):
                chromium.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(chromium.pid, signal.SIGKILL)


def sites_with_curves(shot: Path) -> set[str]:
    """Find which sites have a line, or any mark, right of the list of runs."""
    from PIL import Image

    if not shot.exists():
        return set()
    charts = Image.open(shot).convert("RGB").crop((300, 620, 1130, 900))
    counts = {colour: count for count, colour in charts.getcolors(2**24) or ()}
    return {site for site, colour in COLOURS.items() if counts.get(colour, 0) > 100}


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium, which is not installed here")
def test_the_page_shows_the_curves_of_every_site(page: str, tmp_path: Path):
    pytest.importorskip("PIL.Image")
    while b"site-2" not in urlopen(f"{page}data/runs", timeout=60).read():
        pass
    shot = tmp_path / "tensorboard.png"
    for attempt in range(4):
        take_picture(page, shot, tmp_path / f"profile-{attempt}")
        if sites_with_curves(shot) == set(COLOURS):
            break

    assert sites_with_curves(shot) == {"site-1", "site-2"}
