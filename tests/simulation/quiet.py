"""No log lines: a simulation has thousands, and tells what matters by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Drop all log lines meanwhile."""

    def drop(*_: object) -> dict[str, object]:
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[drop])
    try:
        yield
    finally:
        structlog.configure(**before)
