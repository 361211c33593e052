"""TensorBoardReceiver: TensorBoard's event files, one folder for each site."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import MissingExtra
from ..metric import Entry, Fact, File, Histogram, Image, Point, Text
from .tracked_run import TrackedRun

#: What is no summary lies here, beside a site's event file.
FILES = "files"


class TensorBoardReceiver:
    """Writes TensorBoard event files, one folder per site, made when its first entry comes.

    Scalars, texts, histograms and images are summaries. Params are hyperparameters, and so stand in the
    HPARAMS tab; labels and results are texts; files lie in `files/` beside a site's event file. A value is
    stored as a 32-bit float, as TensorBoard does; NaN and infinities stay what they are.

    Args:
        folder: where the sites' folders are made; `tensorboard` in the run folder by default.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    name = "tensorboard"

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._protos = _Protos()
        self._files: dict[str, Any] = {}
        self._params: dict[str, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"<TensorBoardReceiver {self.folder} · {len(self._files)} sites>"

    def open(self, run: TrackedRun) -> None:
        """See Receiver."""
        if self.folder is None:
            self.folder = run.folder / self.name

    def receive(self, site: str, entries: Sequence[Entry]) -> None:
        """Append the entries to the site's event file."""
        assert self.folder is not None, "open() comes first"
        file = self._files.get(site)
        if file is None:
            file = self._files[site] = self._protos.open(self.folder / site)
        for entry in entries:
            if isinstance(entry, File):
                path = self.folder / site / FILES / entry.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(entry.data)
            elif isinstance(entry, Fact) and entry.role == "param":
                params = self._params.setdefault(site, {})
                params[entry.name] = entry.value
                file.write(self._protos.params(params, site, entry.wall_time))
            else:
                file.write(self._protos.event(entry))
        file.flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


class _Protos:
    """TensorBoard's own messages, and its record writer.

    Its EventFileWriter is not taken: that starts a thread per file, and imports TensorFlow where there
    is one. The record writer below it needs neither.
    """

    def __init__(self) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
            from tensorboard.plugins.hparams import plugin_data_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise MissingExtra("tensorboard", "tensorboard", "tracking_type='tensorboard'") from error
        self._event, self._summary, self._tensor = event_pb2, summary_pb2, tensor_pb2
        self._types, self._hparams, self._writer = types_pb2, plugin_data_pb2, RecordWriter

    def open(self, folder: Path) -> Any:
        """Begin an event file."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.0"
        writer = self._writer((folder / name).open("wb"))
        first = self._event.Event(wall_time=time.time(), file_version="brain.Event:2")
        writer.write(first.SerializeToString())
        return writer

    def event(self, entry: Entry) -> bytes:
        """Give the event of an entry that is a summary."""
        if isinstance(entry, Point):
            value = self._summary.Summary.Value(tag=entry.tag, simple_value=entry.value)
            return self._packed(value, entry.step, entry.wall_time)
        if isinstance(entry, Text):
            return self._packed(self._text(entry.tag, entry.text), entry.step, entry.wall_time)
        if isinstance(entry, Histogram):
            return self._packed(self._histogram(entry), entry.step, entry.wall_time)
        if isinstance(entry, Image):
            picture = self._summary.Summary.Image(
                height=entry.height,
                width=entry.width,
                colorspace=entry.channels,
                encoded_image_string=entry.png,
            )
            metadata = self._summary.SummaryMetadata(display_name=entry.caption) if entry.caption else None
            value = self._summary.Summary.Value(tag=entry.tag, image=picture, metadata=metadata)
            return self._packed(value, entry.step, entry.wall_time)
        assert isinstance(entry, Fact), entry
        return self._packed(self._text(f"{entry.role}s/{entry.name}", str(entry.value)), 0, entry.wall_time)

    def params(self, params: dict[str, Any], site: str, wall_time: float) -> bytes:
        """Give the event that tells the HPARAMS plugin what a site was given; a later one takes its place."""
        start = self._hparams.SessionStartInfo(group_name=site, start_time_secs=wall_time)
        for name, value in params.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                start.hparams[name].number_value = float(value)
            else:
                start.hparams[name].string_value = str(value)
        content = self._hparams.HParamsPluginData(session_start_info=start, version=0)
        value = self._with_plugin("_hparams_/session_start_info", "hparams", content.SerializeToString())
        # The plugin's reader wants a tensor, and does not look into it.
        value.tensor.CopyFrom(self._tensor.TensorProto(dtype=self._types.DT_FLOAT, float_val=[0.0]))
        return self._packed(value, 0, wall_time)

    def _text(self, tag: str, text: str) -> Any:
        value = self._with_plugin(tag, "text", b"")
        value.tensor.dtype = self._types.DT_STRING
        value.tensor.string_val.append(text.encode())
        value.tensor.tensor_shape.dim.add(size=1)
        return value

    def _histogram(self, entry: Histogram) -> Any:
        histo = self._summary.HistogramProto(
            min=entry.low,
            max=entry.high,
            num=entry.count,
            sum=entry.total,
            sum_squares=entry.squares,
            bucket_limit=entry.limits,
            bucket=entry.counts,
        )
        return self._summary.Summary.Value(tag=entry.tag, histo=histo)

    def _with_plugin(self, tag: str, plugin: str, content: bytes) -> Any:
        data = self._summary.SummaryMetadata.PluginData(plugin_name=plugin, content=content)
        return self._summary.Summary.Value(tag=tag, metadata=self._summary.SummaryMetadata(plugin_data=data))

    def _packed(self, value: Any, step: int | None, wall_time: float) -> bytes:
        summary = self._summary.Summary(value=[value])
        event = self._event.Event(wall_time=wall_time, step=step or 0, summary=summary)
        return bytes(event.SerializeToString())
