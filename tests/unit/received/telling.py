"""Messages as an Alertmanager's webhook sends them."""

from __future__ import annotations

import json
import zlib
from typing import Any

NEVER = "0001-01-01T00:00:00Z"


def alert(
    name: str = "Down", *, starts: str = "2026-01-01T10:00:00.123456789Z", ends: str = "", **more: Any
) -> dict[str, Any]:
    """Return one alert; resolved if it has an end."""
    return {
        "status": "resolved" if ends else "firing",
        "labels": {"alertname": name, "severity": "critical"},
        "annotations": {"summary": f"{name} it is"},
        "startsAt": starts,
        "endsAt": ends or NEVER,
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": f"{zlib.crc32(name.encode()):016x}",
        **more,
    }


def notice(*alerts: Any, **more: Any) -> bytes:
    """Return a message of version 4."""
    whole = {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "dbarchitect",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
        **more,
    }
    return json.dumps(whole).encode()
