"""SCRAM-SHA-256 (RFC 7677) as a client, without channel binding: what pgBouncer asks of us."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import unicodedata

MECHANISM = "SCRAM-SHA-256"
ITERATIONS_MAX = 1_000_000
"""A server that asks for more wants our processor, not our password."""


class ScramFailed(Exception):
    """The other side does not keep to the exchange, or does not know our password."""


class Scram:
    """One exchange: `first`, then `answer` (slow: outside the loop), then `check`."""

    def __init__(self, password: str, nonce: str = "") -> None:
        self._password = _prepared(password)
        self._nonce = nonce or secrets.token_urlsafe(18)
        self._bare = f"n=,r={self._nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """Return the client's first message."""
        return f"n,,{self._bare}".encode()

    def answer(self, server_first: bytes) -> bytes:
        """Return the proof; raise ScramFailed when the server's message is not one to answer."""
        said = _attributes(server_first)
        nonce, salt, iterations = said.get("r", ""), said.get("s", ""), said.get("i", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ScramFailed("the server did not add to our nonce")
        if not iterations.isdigit() or not 1 <= int(iterations) <= ITERATIONS_MAX:
            raise ScramFailed(f"the server asks for {iterations or 'no'} iterations")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, _unbase64(salt), int(iterations))
        without_proof = f"c=biws,r={nonce}"
        message = f"{self._bare},{server_first.decode()},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._signature = _hmac(_hmac(salted, b"Server Key"), message)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def check(self, server_final: bytes) -> None:
        """Make sure that the server knows our password too; raise ScramFailed."""
        said = _unbase64(_attributes(server_final).get("v", ""))
        if not self._signature or not hmac.compare_digest(said, self._signature):
            raise ScramFailed("the server could not prove that it knows our password: it may be another one")


def _attributes(message: bytes) -> dict[str, str]:
    try:
        parts = message.decode().split(",")
    except UnicodeDecodeError:
        raise ScramFailed("the server's message is not text") from None
    return {part[0]: part[2:] for part in parts if part[1:2] == "="}


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ScramFailed("the server's message is not base64") from None


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _prepared(password: str) -> bytes:
    # SASLprep's mapping and normalisation; its forbidden characters cannot be in a stored password.
    mapped = "".join(" " if unicodedata.category(one) == "Zs" else one for one in password if one != "\u00ad")
    return unicodedata.normalize("NFKC", mapped).encode()
