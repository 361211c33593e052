"""Sessions: the secret that two cells share end to end, whatever carries their bytes.

The called side makes one and offers it: an ephemeral X25519 key, agreed with the server's long-term CURVE
key, which is of the same curve. Who passes the offer on learns nothing of the secret. From it come the key
that wraps blob keys, and for each data connection the keys that its headers are authenticated with.

Sources: X25519 RFC 7748, HKDF RFC 5869, AES-GCM NIST SP 800-38D, keyed BLAKE2 RFC 7693.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

import msgspec
import zmq.utils.z85

from ..errors import NotAllowed
from .keys import Keys

ID_BYTES = 16
KEY_BYTES = 32
MAC_BYTES = 16


class Offer(msgspec.Struct, frozen=True):
    """What the server needs to share a session; nothing in it is secret."""

    id: bytes
    public: bytes


class Session:
    """One shared secret.

    Args:
        id: names the session; 16 random bytes.
        secret: 32 bytes that only the two ends have.
        offered: True at the end that made it; the two ends wrap with different keys.
    """

    def __init__(self, id: bytes, secret: bytes, *, offered: bool) -> None:
        self.id = id
        self.hello_key = _derive(secret, id, b"hello")
        self._wraps = aead(_derive(secret, id, b"wrap up" if offered else b"wrap down"))
        self._unwraps = aead(_derive(secret, id, b"wrap down" if offered else b"wrap up"))

    def __repr__(self) -> str:
        return f"<Session {self.id.hex()[:8]}>"

    def wrap(self, key: bytes, blob: bytes) -> bytes:
        """Seal a blob's keys, joined, for the other end."""
        nonce = os.urandom(12)
        return self.id + nonce + bytes(self._wraps.encrypt(nonce, key, blob))

    def has_wrapped(self, wrapped: bytes) -> bool:
        """Tell whether a wrapped key names this session; whether it is of it, `unwrap` tells."""
        return same(wrapped[:ID_BYTES], self.id)

    def unwrap(self, wrapped: bytes, blob: bytes) -> bytes:
        """Open a blob's keys.

        Raises:
            NotAllowed: the other end of this session did not seal it for this blob.
        """
        from cryptography.exceptions import InvalidTag

        sealed = wrapped[ID_BYTES:]
        try:
            if not self.has_wrapped(wrapped):
                raise ValueError("it names another session")
            key = bytes(self._unwraps.decrypt(sealed[:12], sealed[12:], blob))
        except (InvalidTag, ValueError) as error:
            raise NotAllowed(f"the key of blob {blob.hex()[:8]} was not sealed by {self!r}") from error
        if not key or len(key) % KEY_BYTES or len(blob) != ID_BYTES:
            raise NotAllowed(f"{self!r} seals keys of {KEY_BYTES} bytes for ids of {ID_BYTES}")
        return key

    def stream_keys(self, nonces: bytes, dialled: bool) -> tuple[bytes, bytes]:
        """Give the keys of what one end says on a data connection with these nonces: MACs', messages'."""
        said = b"dialled" if dialled else b"accepted"
        sealed = hashlib.blake2b(b"messages " + said + nonces, key=self.hello_key, digest_size=KEY_BYTES)
        return mac(self.hello_key, said, nonces), sealed.digest()


def offer_session(server_key: str) -> tuple[Session, Offer]:
    """Make a session with the holder of a CURVE key; the offer must reach it.

    Args:
        server_key: its public key, 40 characters of Z85.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private, id = X25519PrivateKey.generate(), os.urandom(ID_BYTES)
    theirs = X25519PublicKey.from_public_bytes(zmq.utils.z85.decode(server_key))
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Session(id, private.exchange(theirs), offered=True), Offer(id, public)


def accept_session(offer: Offer, keys: Keys) -> Session:
    """Share the session that was offered to the holder of these keys.

    Raises:
        NotAllowed: the offer is none.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    private = X25519PrivateKey.from_private_bytes(zmq.utils.z85.decode(keys.secret))
    try:
        if len(offer.id) != ID_BYTES:
            raise ValueError("its id has another length")
        secret = private.exchange(X25519PublicKey.from_public_bytes(offer.public))
    except ValueError as error:
        raise NotAllowed(f"this offer of a session cannot be taken: {error}") from error
    return Session(offer.id, secret, offered=False)


def mac(key: bytes, *parts: Any) -> bytes:
    """Authenticate bytes; 16 of them."""
    return hashlib.blake2b(b"".join(parts), key=key, digest_size=MAC_BYTES).digest()


def same(one: bytes, other: bytes) -> bool:
    """Compare in a time that tells nothing."""
    return hmac.compare_digest(one, other)


def _derive(secret: bytes, salt: bytes, what: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt, b"fox-hpc " + what).derive(secret)


def aead(key: bytes) -> Any:
    """Give AES-GCM with this key; loaded with the first one."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
