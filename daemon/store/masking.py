"""Masks secrets in what is about to be written: the journal keeps things for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actions.model import Json
from collectors.secret import redact


def masked(value: Json) -> Any:  # noqa: ANN401 - what JSON can hold
    """Return a copy of a JSON value in which no text shows a secret; it has dicts, lists, plain values."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {masked_text(str(key)): _under(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    return value


def masked_text(text: str) -> str:
    """Return text without secrets, and without what PostgreSQL or UTF-8 cannot hold."""
    clean = redact(str(text)).replace("\0", "\ufffd")
    return clean if clean.isascii() else clean.encode("utf-8", "replace").decode()


def _under(key: str, value: Json) -> Any:  # noqa: ANN401
    # A pair in JSON is the same as `password=...` in a line of text.
    if isinstance(value, str) and redact(f"{key}=x") != f"{key}=x":
        return redact(f"{key}=x").partition("=")[2] if value else value
    return masked(value)
