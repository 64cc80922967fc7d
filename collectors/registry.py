"""Finds the engines: every folder of this package whose `__init__` has `ENGINE`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import collectors
from collectors.engine import Engine


@cache
def engines() -> dict[str, Engine]:
    """Return all engines by name; raise RuntimeError when two claim one name."""
    found: dict[str, Engine] = {}
    for module in pkgutil.iter_modules(collectors.__path__):
        if not module.ispkg:
            continue
        engine = getattr(importlib.import_module(f"collectors.{module.name}"), "ENGINE", None)
        if not isinstance(engine, Engine):
            continue
        if engine.name in found:
            raise RuntimeError(f"two engines are named {engine.name!r}")
        found[engine.name] = engine
    return found
