"""Who may come in over ZeroMQ.

Sources: ZAP is RFC 27 (https://rfc.zeromq.org); a context has one handler, at a fixed inproc address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import zmq
import zmq.utils.z85

from .refusals import Refusals


class Guard:
    """The ZAP handler of a context: tells libzmq which keys may come in, and whose they are."""

    def __init__(self, context: Any, refusals: Refusals) -> None:
        self._refusals = refusals
        self.socket: Any = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")
        self._owners: dict[bytes, dict[bytes, str]] = {}

    def allow(self, domain: bytes, owners: Mapping[str, str]) -> None:
        """Let the owners (name → public key) in at the listening link of that domain, and nobody else."""
        self._owners[domain] = {zmq.utils.z85.decode(public): owner for owner, public in owners.items()}

    def forget(self, domain: bytes) -> None:
        """The link of that domain is gone."""
        self._owners.pop(domain, None)

    def answer(self) -> None:
        """Answer one request."""
        try:
            request: list[bytes] = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        # Whatever came is answered: a REP socket that owes an answer lets nobody in any more.
        self.socket.send_multipart(self._reply(request))

    def _reply(self, request: list[bytes]) -> list[bytes]:
        # A request: version, id, domain, address, identity, mechanism, credentials (RFC 27).
        if len(request) < 6 or request[0] != b"1.0":
            number = request[1] if len(request) > 1 else b""
            return [b"1.0", number, b"500", b"this is not a ZAP 1.0 request", b"", b""]
        _version, number, domain, address, _identity, mechanism, *credentials = request
        key = credentials[0] if mechanism == b"CURVE" and credentials else b""
        owner = self._owners.get(domain, {}).get(key)
        if owner is None:
            shown, who = zmq.utils.z85.encode(key)[:8].decode() or "none", address.decode("utf-8", "replace")
            self._refusals.note(
                "unlisted key", shown, f"{who} came with key {shown}…, which is not on the list"
            )
            return [b"1.0", number, b"400", b"this key is not allowed", b"", b""]
        return [b"1.0", number, b"200", b"OK", owner.encode(), b""]
