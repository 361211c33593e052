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
    from .api.fox import fox
    from .api.group import Group
    from .api.group_call import GroupCall
    from .api.module_wrapper import ModuleWrapper
    from .api.proxy import Proxy, ProxyList
    from .api.results import Results
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
        SubmitError,
        UnreadableOutput,
        VersionMismatch,
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
    from .site.relay import FoxExecutor
    from .site.state_dict import broadcast_state_dict, init_process_group
    from .site.worker import FoxWorker
    from .tracking.writer import SummaryWriter
    from .wire.codec import register

__version__ = "0.1.0"

_HOMES = {
    "algos.weighted": ("weighted_average",),
    "api.app": ("App", "ClientApp", "ServerApp"),
    "api.backend": ("Backend",),
    "api.client_api": ("FoxClientAPI", "get_client_api"),
    "api.fox": ("fox",),
    "api.group": ("Group",),
    "api.group_call": ("GroupCall",),
    "api.module_wrapper": ("ModuleWrapper",),
    "api.proxy": ("Proxy", "ProxyList"),
    "api.results": ("Results",),
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
        "SubmitError",
        "UnreadableOutput",
        "VersionMismatch",
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
    "site.relay": ("FoxExecutor",),
    "site.state_dict": ("broadcast_state_dict", "init_process_group"),
    "site.worker": ("FoxWorker",),
    "tracking.writer": ("SummaryWriter",),
    "wire.codec": ("register",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AnswerRenewed",
    "App",
    "Backend",
    "BlobError",
    "CallCancelled",
    "CallError",
    "CallOption",
    "CallTimeout",
    "ClientApp",
    "CodecError",
    "ExecEnv",
    "FLModel",
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
    "Late",
    "LinkClosed",
    "LsfExecutor",
    "LsfLauncher",
    "MissingExtra",
    "ModuleWrapper",
    "NoSuchFunction",
    "NotAllowed",
    "PbsExecutor",
    "PbsLauncher",
    "PocEnv",
    "Proxy",
    "ProxyList",
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
    "SubmitError",
    "SubprocessLauncher",
    "SummaryWriter",
    "UnreadableOutput",
    "VersionMismatch",
    "WireError",
    "WorkspaceError",
    "broadcast_state_dict",
    "fox",
    "get_client_api",
    "init_process_group",
    "register",
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
