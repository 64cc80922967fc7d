"""The fixtures of stores."""

from __future__ import annotations

from tests.fixtures.stores import home, somewhere, store

__all__ = ["home", "somewhere", "store"]
