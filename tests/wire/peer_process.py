"""A peer that is a process of its own, to be stopped and killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PEER = Path(__file__).with_name("peer.py")


@contextmanager
def peer_process(net: Any, url: str, name: str = "site-1") -> Iterator[subprocess.Popen[str]]:
    keys = net.keys[name]
    words = [url, name, keys.public, keys.secret, net.server_keys.public]
    process = subprocess.Popen([sys.executable, str(PEER), *words], stdin=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
