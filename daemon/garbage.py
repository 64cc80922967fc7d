"""Keeps the pauses of Python's cyclic garbage collector short.

Each look goes over every object that can be part of a cycle, and a fleet's labels and samples are hundreds
of thousands that never are.
"""

from __future__ import annotations

import gc


def calm() -> None:
    """Look for cycles less often, and no more among what is there now."""
    settle()
    gc.set_threshold(20_000, 20, 50)


def settle() -> None:
    """Take what is there now for good: later looks pass over it, and what no cycle holds still goes."""
    gc.collect()
    gc.freeze()
