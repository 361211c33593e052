"""Joining torch.distributed: backend, device and network settings by what the node has."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ..environment import RankEnv, local_size_of, process_environ, set_unset

_INFINIBAND = Path("/sys/class/infiniband")


def init_process_group(backend: str | None = None, *, timeout_s: float | None = None) -> None:
    """Join torch.distributed's default group: nccl where every rank of the node has a GPU, else gloo.

    Does nothing where the launcher made one rank only, or when the group is there already, so that the
    same script runs in every environment. Ranks that mpirun has started join as torchrun's do. Under nccl
    the rank's own GPU becomes its current device. Network settings that are not set are chosen as
    `network_settings` says.

    Args:
        backend: what torch knows, e.g. "gloo"; None chooses.
        timeout_s: how long a collective may wait for the other ranks; None takes torch's own time.
    """
    import torch
    import torch.distributed as dist

    environ = process_environ()
    place = RankEnv.read(environ)
    if place.world_size <= 1 or dist.is_initialized():
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() and dist.is_nccl_available() else 0
    chosen = choose_backend(gpus, place.local_rank, local_size_of(environ)) if backend is None else backend
    if chosen == "nccl":
        torch.cuda.set_device(place.local_rank % gpus)
    set_unset(network_settings(look_at_node(environ)))
    dist.init_process_group(
        chosen,
        rank=place.rank,
        world_size=place.world_size,
        timeout=None if timeout_s is None else timedelta(seconds=timeout_s),
    )


def choose_backend(gpus: int, local_rank: int, local_size: int | None) -> str:
    """Choose torch's backend from what one node has. Pure.

    Args:
        gpus: how many this process sees. One beside several ranks is taken to be this rank's own, as
            schedulers bind them.
        local_size: how many ranks the node has, None if unknown.
    """
    ranks = local_rank + 1 if local_size is None else local_size
    return "nccl" if gpus == 1 or 0 < ranks <= gpus else "gloo"


@dataclass(frozen=True)
class Network:
    """What a node knows of the way to the other nodes of its job.

    Args:
        nodes: how many the job has.
        interface: the network interface that leads to rank 0's address, "" if that is not known.
        infiniband: whether there is an InfiniBand or RoCE adapter.
    """

    nodes: int
    interface: str = ""
    infiniband: bool = False


def network_settings(network: Network) -> dict[str, str]:
    """Choose what NCCL and gloo are told of the network. Pure; nothing on one node.

    Both would otherwise choose an interface by themselves, and may take one that does not lead to the
    other nodes, such as a container's bridge. NCCL's `=` asks for that very name.

    Source: NCCL's user guide, Environment Variables (NCCL_SOCKET_IFNAME, NCCL_IB_DISABLE);
    torch.distributed's documentation, Common environment variables (GLOO_SOCKET_IFNAME).
    """
    if network.nodes <= 1:
        return {}
    settings = {}
    if network.interface and network.interface != "lo":
        settings = {
            "GLOO_SOCKET_IFNAME": network.interface,
            "NCCL_SOCKET_IFNAME": f"={network.interface}",
        }
    if not network.infiniband:
        settings["NCCL_IB_DISABLE"] = "1"
    return settings


def look_at_node(environ: Mapping[str, str], infiniband: Path = _INFINIBAND) -> Network:
    """Find out what this node has."""
    nodes = int(environ.get("FOX_NNODES", "1"))
    if nodes <= 1:
        return Network(nodes)
    has_adapter = infiniband.is_dir() and any(infiniband.iterdir())
    return Network(nodes, interface_to(environ.get("MASTER_ADDR", "")), has_adapter)


def interface_to(host: str) -> str:
    """Name the network interface that leads to a host, "" if none does."""
    import psutil

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # sends nothing: asks the routing table
            own = str(probe.getsockname()[0])
    except OSError:
        return ""
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address.partition("%")[0] == own for one in addresses):
            return str(name)
    return ""
