"""Rows by position and by name, made of plain tuples."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

Make = Callable[[tuple[Any, ...]], Any]


@lru_cache(maxsize=256)
def row_maker(names: tuple[str, ...]) -> Make:
    """Return what makes a row with these column names of a tuple; the same for the same names."""
    places = {name: place for place, name in reversed(list(enumerate(names)))}

    class Row(tuple[Any, ...]):
        __slots__ = ()

        def __getitem__(self, key: Any, /) -> Any:  # noqa: ANN401 - as asyncpg's rows
            return tuple.__getitem__(self, places[key] if isinstance(key, str) else key)

        def keys(self) -> tuple[str, ...]:
            return names

    return Row
