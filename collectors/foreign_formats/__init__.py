"""Reads files of SQL metrics in our own format and in those of other tools, told apart by their shape.

What another format says and ours cannot is a mistake with its line and reason: nothing is left out silently.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collectors.definition import ProbeDef, build
from collectors.foreign_formats import pg_exporter, pgwatch, postgres_exporter
from collectors.foreign_formats.carry import Mistakes, finish
from collectors.strict_yaml import Document, InvalidFile, read

OWN = "dbarchitect"
_READERS = {
    "postgres_exporter": postgres_exporter.queries,
    "pg_exporter": pg_exporter.queries,
    "pgwatch": pgwatch.queries,
}


def load_any(path: Path, *, engine: str, custom: bool = True) -> list[ProbeDef]:
    """Read a file of probes in any known format; raise InvalidFile with every mistake in it."""
    return from_document(read(path), engine=engine, custom=custom)


def from_document(document: Document, *, engine: str, custom: bool = True) -> list[ProbeDef]:
    """Turn a parsed file of any known format into probes; raise InvalidFile with every mistake in it."""
    known = format_of(document)
    if known == OWN:
        return build(document, engine=engine, custom=custom)
    mistakes = Mistakes(document)
    return finish(_READERS[known](document.value, mistakes), mistakes, engine=engine, custom=custom)


def format_of(document: Document) -> str:
    """Return whose format a file is in; raise InvalidFile for a file that mixes two."""
    value = document.value
    if not isinstance(value, dict):
        return OWN
    if isinstance(value.get("metrics"), dict) and any(_has(one, "sqls") for one in value["metrics"].values()):
        return "pgwatch"
    foreign = [name for name, body in value.items() if _has(body, "query")]
    if not foreign:
        return OWN
    own = [name for name, body in value.items() if _has(body, "sql")]
    if own:
        raise InvalidFile(
            [
                document.problem(
                    (own[0],),
                    f"{own[0]!r} has `sql`, and {foreign[0]!r} has `query`: these are two formats",
                    "keep each format in a file of its own",
                )
            ]
        )
    return "pg_exporter" if any(map(_is_pg_exporter, value.values())) else "postgres_exporter"


def _is_pg_exporter(body: Any) -> bool:  # noqa: ANN401 - from a file
    if not isinstance(body, dict):
        return False
    if any(key in body for key in pg_exporter.OWN_KEYS):
        return True
    listed = body.get("metrics")
    said = (
        [one for item in listed if isinstance(item, dict) for one in item.values()]
        if isinstance(listed, list)
        else []
    )
    return any(key in one for one in said if isinstance(one, dict) for key in pg_exporter.OWN_COLUMN_KEYS)


def _has(body: Any, key: str) -> bool:  # noqa: ANN401
    return isinstance(body, dict) and key in body
