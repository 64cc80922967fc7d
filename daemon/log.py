"""Structured logs on standard error; secrets are masked last, whatever wrote them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from collectors.secret import redact

Format = Literal["auto", "console", "json"]
_known: set[str] = set()


def know_secrets(texts: Iterable[str]) -> None:
    """Remember texts that must never be written."""
    _known.update(text for text in texts if len(text) > 3)  # noqa: PLR2004 - shorter ones are words


def set_up(level: str = "info", form: Format = "auto") -> None:
    """Make logs readable for whoever reads: colours on a terminal, JSON for the journal."""
    if form == "auto":
        form = "console" if sys.stderr.isatty() else "json"
    last: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ,
                # Never the pretty one: it prints local variables, passwords among them.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
        if form == "console"
        else [structlog.processors.format_exc_info, _masked, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _masked,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=_Lines,
        cache_logger_on_first_use=False,
    )
    # Libraries log through the standard library: only what needs a person, in the same place.
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, force=True, format="%(levelname)s %(message)s"
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(_mask_record)


class _Lines:
    """Writes one line per event to standard error, masked once more as a whole."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, message: str) -> None:
        print(redact(message, frozenset(_known)), file=sys.stderr, flush=True)  # noqa: T201 - this is the log

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _masked(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value, frozenset(_known))
        elif not isinstance(value, int | float | bool | tuple | type(None)):
            event[key] = redact(str(value), frozenset(_known))
    return event


def _mask_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = redact(record.getMessage(), frozenset(_known)), ()
    return True


def bound(**values: Any) -> None:  # noqa: ANN401 - any value can be context
    """Attach values to every event of this task."""
    structlog.contextvars.bind_contextvars(**values)
