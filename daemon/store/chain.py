"""The hash chain: each record's hash covers its whole text and the hash before it."""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, Protocol

_ANY = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class Line(Protocol):
    """A record as the journal's table holds it; `body` is its canonical JSON text."""

    seq: int
    execution: str
    kind: str
    step: int
    attempt: int
    epoch: int
    who: str
    at: float
    body: str


def chained(prev_hash: str, line: Line) -> str:
    """Return SHA-256 of the hash before and of the record's canonical JSON, in hex.

    Raises TypeError or ValueError for what was never written so.
    """
    return hashlib.sha256((prev_hash + text_of(line)).encode()).hexdigest()


def text_of(line: Line) -> str:
    """Return the canonical JSON of a record: keys in order, the body as it was written."""
    return (
        f'{{"at":{_json(line.at)},"attempt":{_json(line.attempt)},"body":{_text(line.body)}'
        f',"epoch":{_json(line.epoch)},"execution":{_json(line.execution)},"kind":{_json(line.kind)}'
        f',"seq":{_json(line.seq)},"step":{_json(line.step)},"who":{_json(line.who)}}}'
    )


def _json(value: Any) -> str:  # noqa: ANN401 - whatever a column holds
    # What json does, without what it sets up for each value: a journal has millions of them.
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int or (kind is float and isfinite(value)):
        return repr(value)
    return _ANY(value)


def _text(body: str) -> str:
    # SQLite keeps in a column whatever somebody puts there.
    if not isinstance(body, str):
        raise TypeError("a body is text")
    return body
