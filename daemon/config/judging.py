"""Rules, where alerts go, and what is kept of the past."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from collectors.definition import Duration
from daemon.config.peer import PeerSettings, service_url
from daemon.config.settings import Settings
from daemon.config.values import Count, Interval, LabelValue, within

RULE_FILES = ("/etc/dbarchitect/rules/*.yaml", "/etc/dbarchitect/rules/*.yml")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,99}")


def _size(value: object) -> object:
    """Turn 500MB or 2GB into bytes."""
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if not found:
            raise ValueError("should be a size such as 500MB or 2GB")
        return round(float(found[1]) * _UNITS[found[2]])
    return value


Size = Annotated[Count, BeforeValidator(_size)]
Keep = Annotated[Duration, within(3600, 10 * 365 * 86400, "from 1h to 3650d")]


class RulesSettings(Settings):
    """What is judged, and how often."""

    builtin: bool | tuple[str, ...] = True
    """The packs that come with the program: all, none, or these."""
    files: tuple[str, ...] = RULE_FILES
    """Prometheus rule files; patterns with `*` may match nothing."""
    interval: Interval = 15.0
    """How often groups are evaluated that say nothing themselves."""
    external_labels: dict[str, LabelValue] = Field(default_factory=dict)
    """Put on alerts that are sent on; `$externalLabels` in templates."""
    external_url: str = ""
    """Where people reach this daemon: the link in alerts that are sent on."""
    resend_delay: Interval = 60.0
    """How often an alert that still fires is sent again."""

    @field_validator("external_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        # Alertmanagers refuse alerts whose link is no URL.
        return service_url(value) if value else value

    @field_validator("external_labels")
    @classmethod
    def _are_labels(cls, value: dict[str, str]) -> dict[str, str]:
        if wrong := [name for name in value if not _LABEL.fullmatch(name)]:
            raise ValueError(
                f"{wrong[0]!r} is no label name: letters A to Z, digits and _, not beginning with __"
            )
        return value


class AlertmanagerSettings(PeerSettings):
    """One Alertmanager. All that are listed get every alert."""


class TenantSettings(PeerSettings):
    """A store of samples that may serve several parties."""

    tenant: Annotated[str, Field(max_length=150)] = ""
    """Sent as X-Scope-OrgID, which tells Mimir whose samples these are."""

    @field_validator("tenant")
    @classmethod
    def _can_be_sent(cls, value: str) -> str:
        if value and not (value.isascii() and value.isprintable()):
            raise ValueError("should be printable ASCII characters")
        return value


class RemoteWriteSettings(TenantSettings):
    """A receiver of samples: its whole address, as in Prometheus' `remote_write`."""

    queue_max: Annotated[Count, Field(ge=1_000, le=50_000_000)] = 500_000
    """Samples that wait while the receiver is away; the oldest go first, and are counted."""


class HistorySettings(Settings):
    """What is kept of the series that rules and pages use."""

    enabled: bool = True
    raw: Keep = 86400.0
    """As collected."""
    rollups: Keep = 30 * 86400.0
    """By the minute: least, most, mean and last."""
    size_max: Annotated[Size, Field(ge=10**7, le=10**14)] = 2 * 10**9
    """On disk; the oldest goes first."""
    query: TenantSettings | None = None
    """Prometheus, Mimir or VictoriaMetrics to ask about the past in place of our own store."""
    remote_write: tuple[RemoteWriteSettings, ...] = ()
    """Where samples are sent besides."""
