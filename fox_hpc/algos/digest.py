"""A digest of weights, to tell whether two runs gave the same model, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any


def weights_digest(params: Mapping[str, Any]) -> str:
    """Give the SHA-256 over names, dtypes, shapes and bytes of arrays (numpy or torch), sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(params):
        array = params[name]
        dtype = str(array.dtype).removeprefix("torch.")
        digest.update(f"{name} {dtype} {tuple(array.shape)}\n".encode())
        digest.update(_raw(array))
    return digest.hexdigest()


def _raw(array: Any) -> bytes:
    if type(array).__module__.startswith("torch"):
        import torch

        flat = array.detach().cpu().contiguous().reshape(-1)
        return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    raw: bytes = array.tobytes()
    return raw
