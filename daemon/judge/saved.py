"""Keeps the state of alerts in a file, so that `for` and what fires go on after a restart."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger()
FILE = "alerts.json"
FRESH_SECONDS = 60.0
"""Written so often also when nothing changes: the time says how long we were away."""


class SavedAlerts:
    """The file in the state directory; a full disk costs the newest state, never the one before."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE
        self.failures = 0
        self._last: tuple[float, Sequence[dict[str, Any]]] = (float("-inf"), ())
        self._failing = False

    def load(self) -> tuple[list[dict[str, Any]], int]:
        """Return what was saved and when (Unix milliseconds); nothing when there is no file to be used."""
        try:
            whole = json.loads(self.path.read_text("utf-8"))
            return list(whole["groups"]), int(whole["saved_ms"])
        except FileNotFoundError:
            return [], 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            aside = self.path.with_suffix(".damaged")
            with contextlib.suppress(OSError):
                self.path.rename(aside)
            log.error("alerts.state_damaged", file=str(self.path), reason=str(error), set_aside=str(aside))  # noqa: TRY400 - the reason says it all
            return [], 0

    def save(self, groups: Sequence[dict[str, Any]], now_ms: int) -> None:
        """Write the state when it changed, or was last written a minute ago."""
        now = now_ms / 1000
        if groups == self._last[1] and 0 <= now - self._last[0] < FRESH_SECONDS:
            return
        try:
            self._write(json.dumps({"saved_ms": now_ms, "groups": groups}))
        except OSError as error:
            self.failures += 1
            if not self._failing:
                log.error("alerts.not_saved", file=str(self.path), reason=error.strerror or str(error))  # noqa: TRY400
            self._failing = True
            return
        if self._failing:
            log.info("alerts.saved_again", file=str(self.path))
        self._failing = False
        self._last = (now, groups)

    def _write(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
