"""fox-hpc: federated learning as plain Python, each site's share run as a batch job.

This is the public door. A name's module is loaded when the name is first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .algos.weighted import weighted_average
    from .api.app import App, ClientApp, ServerApp
    from .api.backend import Backend
    from .api.client_api import FoxClientAPI, get_client_api
    from .api.filters import Filters
    from .api.fox import fox
    from .api.group import Group
    from .api.group_call import GroupCall
    from .api.module_wrapper import ModuleWrapper
    from .api.proxy import Proxy, ProxyList
    from .api.results import Results
    from .api.stream import Stream
    from .call import CallOption
    from .envs.base import ExecEnv, Run
    from .envs.hpc import HpcEnv
    from .envs.poc import PocEnv
    from .envs.sim import FoxSimulator, SimBackend, SimEnv
    from .errors import (
        AnswerRenewed,
        BlobError,
        CallCancelled,
        CallError,
        CallRefused,
        CallTimeout,
        CodecError,
        FoxError,
        GroupError,
        LinkClosed,
        MissingExtra,
        NoSuchFunction,
        NotAllowed,
        RecipeError,
        RemoteError,
        RunCancelled,
        RunError,
        SchedulerError,
        SiteLost,
        StreamBroken,
        SubmitError,
        UnreadableOutput,
        VersionMismatch,
        WaitCycle,
        WireError,
        WorkspaceError,
    )
    from .hpc.resources import HpcConfig
    from .hpc.submitit_plugin import LsfExecutor, PbsExecutor
    from .late import Late
    from .model import FLModel
    from .recipe import FoxRecipe
    from .server.controller import FoxController
    from .site.adapter import HpcWorkerAdapter
    from .site.launcher import LsfLauncher, PbsLauncher, SlurmLauncher, SubprocessLauncher
    from .site.process_group import init_process_group
    from .site.rank_group import RankGroup
    from .site.relay import FoxExecutor
    from .site.state_dict import broadcast_state_dict, gather_state_dict
    from .site.worker import FoxWorker
    from .tracking.inprocess_writer import InProcessWriter
    from .tracking.metrics_relay import MetricsRelay
    from .tracking.mlflow_receiver import MLflowReceiver
    from .tracking.mlflow_writer import MLflowWriter, mlflow
    from .tracking.receiver import Receiver
    from .tracking.subprocess_writer import SubprocessWriter
    from .tracking.tensorboard_receiver import TensorBoardReceiver
    from .tracking.tensorboard_writer import SummaryWriter, TensorBoardWriter
    from .tracking.tracking_receiver import TrackingReceiver
    from .tracking.wandb_receiver import WandBReceiver
    from .tracking.wandb_writer import WandbWriter, wandb
    from .tracking.writer import AutoWriter, BaseWriter
    from .wire.codec import register

__version__ = "0.1.0"

_HOMES = {
    "algos.weighted": ("weighted_average",),
    "api.app": ("App", "ClientApp", "ServerApp"),
    "api.backend": ("Backend",),
    "api.client_api": ("FoxClientAPI", "get_client_api"),
    "api.filters": ("Filters",),
    "api.fox": ("fox",),
    "api.group": ("Group",),
    "api.group_call": ("GroupCall",),
    "api.module_wrapper": ("ModuleWrapper",),
    "api.proxy": ("Proxy", "ProxyList"),
    "api.results": ("Results",),
    "api.stream": ("Stream",),
    "call": ("CallOption",),
    "envs.base": ("ExecEnv", "Run"),
    "envs.hpc": ("HpcEnv",),
    "envs.poc": ("PocEnv",),
    "envs.sim": ("FoxSimulator", "SimBackend", "SimEnv"),
    "errors": (
        "AnswerRenewed",
        "BlobError",
        "CallCancelled",
        "CallError",
        "CallRefused",
        "CallTimeout",
        "CodecError",
        "FoxError",
        "GroupError",
        "LinkClosed",
        "MissingExtra",
        "NoSuchFunction",
        "NotAllowed",
        "RecipeError",
        "RemoteError",
        "RunCancelled",
        "RunError",
        "SchedulerError",
        "SiteLost",
        "StreamBroken",
        "SubmitError",
        "UnreadableOutput",
        "VersionMismatch",
        "WaitCycle",
        "WireError",
        "WorkspaceError",
    ),
    "hpc.resources": ("HpcConfig",),
    "hpc.submitit_plugin": ("LsfExecutor", "PbsExecutor"),
    "late": ("Late",),
    "model": ("FLModel",),
    "recipe": ("FoxRecipe",),
    "server.controller": ("FoxController",),
    "site.adapter": ("HpcWorkerAdapter",),
    "site.launcher": ("LsfLauncher", "PbsLauncher", "SlurmLauncher", "SubprocessLauncher"),
    "site.process_group": ("init_process_group",),
    "site.rank_group": ("RankGroup",),
    "site.relay": ("FoxExecutor",),
    "site.state_dict": ("broadcast_state_dict", "gather_state_dict"),
    "site.worker": ("FoxWorker",),
    "tracking.inprocess_writer": ("InProcessWriter",),
    "tracking.metrics_relay": ("MetricsRelay",),
    "tracking.mlflow_receiver": ("MLflowReceiver",),
    "tracking.mlflow_writer": (
        "MLflowWriter",
        "mlflow",
    ),
    "tracking.receiver": ("Receiver",),
    "tracking.subprocess_writer": ("SubprocessWriter",),
    "tracking.tensorboard_receiver": ("TensorBoardReceiver",),
    "tracking.tensorboard_writer": (
        "SummaryWriter",
        "TensorBoardWriter",
    ),
    "tracking.tracking_receiver": ("TrackingReceiver",),
    "tracking.wandb_receiver": ("WandBReceiver",),
    "tracking.wandb_writer": (
        "WandbWriter",
        "wandb",
    ),
    "tracking.writer": (
        "AutoWriter",
        "BaseWriter",
    ),
    "wire.codec": ("register",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AnswerRenewed",
    "App",
    "AutoWriter",
    "Backend",
    "BaseWriter",
    "BlobError",
    "CallCancelled",
    "CallError",
    "CallOption",
    "CallRefused",
    "CallTimeout",
    "ClientApp",
    "CodecError",
    "ExecEnv",
    "FLModel",
    "Filters",
    "FoxClientAPI",
    "FoxController",
    "FoxError",
    "FoxExecutor",
    "FoxRecipe",
    "FoxSimulator",
    "FoxWorker",
    "Group",
    "GroupCall",
    "GroupError",
    "HpcConfig",
    "HpcEnv",
    "HpcWorkerAdapter",
    "InProcessWriter",
    "Late",
    "LinkClosed",
    "LsfExecutor",
    "LsfLauncher",
    "MLflowReceiver",
    "MLflowWriter",
    "MetricsRelay",
    "MissingExtra",
    "ModuleWrapper",
    "NoSuchFunction",
    "NotAllowed",
    "PbsExecutor",
    "PbsLauncher",
    "PocEnv",
    "Proxy",
    "ProxyList",
    "RankGroup",
    "Receiver",
    "RecipeError",
    "RemoteError",
    "Results",
    "Run",
    "RunCancelled",
    "RunError",
    "SchedulerError",
    "ServerApp",
    "SimBackend",
    "SimEnv",
    "SiteLost",
    "SlurmLauncher",
    "Stream",
    "StreamBroken",
    "SubmitError",
    "SubprocessLauncher",
    "SubprocessWriter",
    "SummaryWriter",
    "TensorBoardReceiver",
    "TensorBoardWriter",
    "TrackingReceiver",
    "UnreadableOutput",
    "VersionMismatch",
    "WaitCycle",
    "WandBReceiver",
    "WandbWriter",
    "WireError",
    "WorkspaceError",
    "broadcast_state_dict",
    "fox",
    "gather_state_dict",
    "get_client_api",
    "init_process_group",
    "mlflow",
    "register",
    "wandb",
    "weighted_average",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
