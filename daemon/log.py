"""Structured logs on standard error; secrets are masked last, whatever wrote them."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from collectors.secret import redact

Format = Literal["auto", "console", "json"]


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
        logger_factory=_Lines if form == "console" else _WholeLines,
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
        print(redact(message), file=sys.stderr, flush=True)  # noqa: T201 - this is the log

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class _WholeLines(_Lines):
    """Writes one line per event, whose values have been masked: in the whole line a quote could be lost."""

    def msg(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)  # noqa: T201 - this is the log

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _masked(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        event[key] = value if key == "exc_info" else _mask(value)
    return event


def _mask(value: Any) -> Any:  # noqa: ANN401 - any value can be logged
    if isinstance(value, list | tuple):
        return [_mask(one) for one in value]
    if isinstance(value, dict):
        return {key: _mask(one) for key, one in value.items()}
    return value if isinstance(value, int | float | None) else redact(str(value))


def _mask_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = redact(record.getMessage()), ()
    return True


def bound(**values: Any) -> None:  # noqa: ANN401 - any value can be context
    """Attach values to every event of this task."""
    structlog.contextvars.bind_contextvars(**values)
