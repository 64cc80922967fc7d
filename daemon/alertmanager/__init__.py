"""Sends alerts to Alertmanagers by their v2 API."""

from __future__ import annotations

from daemon.alertmanager.herald import Herald
from daemon.alertmanager.sender import Sender

__all__ = ["Herald", "Sender"]
