"""All probes of PostgreSQL: those declared in YAML and those in code."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from collectors.definition import ProbeDef, load
from collectors.engine import metrics_files
from collectors.postgresql.probe import CodeProbe

ENGINE_NAME = "postgresql"
CODE_MODULES: tuple[str, ...] = ()
"""Modules of this package that have `PROBES`."""


@cache
def declared() -> tuple[ProbeDef, ...]:
    """Return the probes declared in `metrics/*.yaml`; raise InvalidFile."""
    return tuple(
        probe for path in metrics_files(Path(__file__).parent) for probe in load(path, engine=ENGINE_NAME)
    )


@cache
def in_code() -> tuple[CodeProbe, ...]:
    """Return the probes written in code."""
    return tuple(
        probe
        for name in CODE_MODULES
        for probe in importlib.import_module(f"collectors.{ENGINE_NAME}.{name}").PROBES
    )
