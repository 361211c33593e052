"""NVFlare's Collab API on fox-hpc: change the import, and the code runs here.

    from fox_hpc.compat.collab import CollabRecipe, SimEnv, collab    # was: nvflare.collab, nvflare.recipe

What is the same, what differs and what is not here: docs/porting.md.
"""

from __future__ import annotations

from ...call import CallOption
from ...envs.hpc import HpcEnv
from ...envs.poc import PocEnv
from ...envs.sim import SimEnv
from .calls import Context, Proxy, ProxyList
from .facade import collab
from .recipe import CollabRecipe, CollabRun
from .results import CollabCallError, GroupCallContext

__all__ = [
    "CallOption",
    "CollabCallError",
    "CollabRecipe",
    "CollabRun",
    "Context",
    "GroupCallContext",
    "HpcEnv",
    "PocEnv",
    "Proxy",
    "ProxyList",
    "SimEnv",
    "collab",
]
