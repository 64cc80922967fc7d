"""The daemon's configuration: one YAML file, checked as a whole before anything starts."""

from __future__ import annotations

from daemon.config.listen import Listen, parse_listen
from daemon.config.loading import Loaded, load, read
from daemon.config.model import Config, TargetSettings
from daemon.config.targets import dump, targets

__all__ = ["Config", "Listen", "Loaded", "TargetSettings", "dump", "load", "parse_listen", "read", "targets"]
