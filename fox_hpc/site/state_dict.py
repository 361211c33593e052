"""Helpers for training code on several ranks; torch is met inside functions only."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any


def init_process_group() -> None:
    """Join torch.distributed's default group: nccl where every rank has a GPU, else gloo.

    Does nothing where the launcher made one rank only, or when the group is there already, so that the
    same script runs in every environment.
    """
    import torch
    import torch.distributed as dist

    from ..environment import RankEnv, process_environ

    if RankEnv.read(process_environ()).world_size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def broadcast_state_dict(state: dict[str, Any] | None, src: int = 0) -> dict[str, Any]:
    """Give every rank what rank `src` has.

    Args:
        state: name → torch tensor on rank `src`; what other ranks pass is not looked at.
        src: the rank that has it.

    Returns:
        name → tensor, in the order of `state`, dtypes and shapes kept, on the CPU (on the rank's GPU
        under nccl). Without a process group: `state` itself.

    Tensors of one dtype travel together in one flat collective; names and shapes go first, as JSON.
    """
    import torch
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        if state is None:
            raise ValueError("broadcast_state_dict(None) on the only rank: there is nothing to give")
        return dict(state)
    device = (
        torch.device("cuda", torch.cuda.current_device())
        if dist.get_backend() == "nccl"
        else torch.device("cpu")
    )
    plan = _broadcast_plan(state, src, device)
    groups: dict[str, list[int]] = defaultdict(list)
    for number, (_, dtype, _shape) in enumerate(plan):
        groups[dtype].append(number)
    values: list[Any] = [None] * len(plan)
    tensors = list(state.values()) if state is not None and dist.get_rank() == src else None
    for dtype, numbers in groups.items():
        sizes = [_size(plan[number][2]) for number in numbers]
        if tensors is not None:
            flat = torch.cat([tensors[number].detach().to(device).reshape(-1) for number in numbers])
        else:
            flat = torch.empty(sum(sizes), dtype=getattr(torch, dtype), device=device)
        raw = flat.view(torch.uint8) if flat.numel() else flat
        if raw.numel():
            dist.broadcast(raw, src)
        for number, part in zip(numbers, flat.split(sizes), strict=True):
            values[number] = part.reshape(plan[number][2])
    return {name: value for (name, _, _), value in zip(plan, values, strict=True)}


def _broadcast_plan(state: dict[str, Any] | None, src: int, device: Any) -> list[tuple[str, str, list[int]]]:
    import torch
    import torch.distributed as dist

    text = b""
    if dist.get_rank() == src:
        if state is None:
            raise ValueError(f"broadcast_state_dict(None) on rank {src}, which should have the state")
        rows = [[name, str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in state.items()]
        text = json.dumps(rows).encode()
    length = torch.tensor([len(text)], dtype=torch.int64, device=device)
    dist.broadcast(length, src)
    body = (
        torch.frombuffer(bytearray(text), dtype=torch.uint8)
        if text
        else torch.empty(int(length), dtype=torch.uint8)
    )
    body = body.to(device)
    dist.broadcast(body, src)
    plan: list[tuple[str, str, list[int]]] = json.loads(bytes(body.cpu().numpy()))
    return plan


def _size(shape: list[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
