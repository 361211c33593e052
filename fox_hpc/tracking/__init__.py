"""Tracking: writers that code uses at a site, receivers that keep what it logs at the server.

`SummaryWriter`, `mlflow` and `wandb` look like the originals; none of these has to be installed at a site.
"""

from __future__ import annotations

from ..metric import Entry, Fact, File, Histogram, Image, Point, Text
from .inprocess_writer import InProcessWriter
from .metrics_relay import MetricsRelay
from .mlflow_receiver import MLflowReceiver
from .mlflow_writer import MLflowWriter, mlflow
from .receiver import History, Receiver, make_receivers
from .subprocess_writer import SubprocessWriter
from .tensorboard_receiver import TensorBoardReceiver
from .tensorboard_writer import SummaryWriter, TensorBoardWriter
from .tracked_run import TrackedRun
from .tracking_receiver import TrackingReceiver
from .wandb_receiver import WandBReceiver
from .wandb_writer import WandbWriter, wandb
from .writer import AutoWriter, BaseWriter, flush_all

__all__ = [
    "AutoWriter",
    "BaseWriter",
    "Entry",
    "Fact",
    "File",
    "Histogram",
    "History",
    "Image",
    "InProcessWriter",
    "MLflowReceiver",
    "MLflowWriter",
    "MetricsRelay",
    "Point",
    "Receiver",
    "SubprocessWriter",
    "SummaryWriter",
    "TensorBoardReceiver",
    "TensorBoardWriter",
    "Text",
    "TrackedRun",
    "TrackingReceiver",
    "WandBReceiver",
    "WandbWriter",
    "flush_all",
    "make_receivers",
    "mlflow",
    "wandb",
]
