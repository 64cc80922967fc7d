"""What a PostgreSQL server is and offers, as one session sees it: asked of its catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_VERSION_NEED = re.compile(r"(?P<name>[^<>=]+?)\s*(?P<op>>=|<)\s*(?P<version>[0-9.]+)$")
_SERVER_NEED = re.compile(r"(?P<op>>=|<)\s*(?P<version>[0-9]+(?:\.[0-9]+)*)")
_FIRST_OF_TWO_PARTS = 10
_LEAST_NUMBER = 10000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """An installed extension."""

    version: str
    schema: str
    """Unquoted name of the schema it is installed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts about a server, learned once per session."""

    version_num: int
    """As `server_version_num`: 150020."""
    version: str
    """As the server shows it: 15.20 (Debian ...)."""
    database: str
    user: str
    in_recovery: bool
    system_identifier: str
    """Empty when the server does not tell."""
    started_at: float
    """Unix time of the postmaster's start, seconds."""
    superuser: bool = False
    roles: frozenset[str] = frozenset()
    """Predefined roles whose rights the user has: pg_monitor, pg_read_all_stats, ..."""
    catalogue: frozenset[str] = frozenset()
    """`schema.relation`, `schema.relation.column`, `function:schema.name`, `function:schema.name.arg`."""
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings as `pg_settings.setting` gives them (base unit of that setting)."""
    pooled: bool = False
    """A pooler in transaction mode stands between: no session state, no named statements."""
    provider: str = "self"
    """self, rds, aurora, cloudsql, azure: decides what is worth asking for."""
    clock_offset_seconds: float = 0.0
    """The server's clock minus ours, half the round trip taken off."""

    @property
    def role(self) -> str:
        """Return primary or replica."""
        return "replica" if self.in_recovery else "primary"

    @property
    def identity(self) -> str:
        """Return what makes counters comparable: changes with the server and with its restart."""
        return f"{self.system_identifier}/{self.started_at:.3f}"

    @property
    def offer(self) -> tuple[object, ...]:
        """Return all that decides what can be asked: equal for servers that offer the same."""
        return (
            id(self.catalogue),  # catalogues are shared, so the same one is the same object
            self.role,
            self.superuser,
            self.roles,
            frozenset((name, one.version, one.schema) for name, one in self.extensions.items()),
            frozenset(self.settings.items()),
        )

    def has(self, need: str) -> bool:
        """Tell whether the server has one thing, written as in `ProbeDef.needs`."""
        kind, _, name = need.partition(":")
        if not name:
            return self.superuser if need == "superuser" else need in self.catalogue
        match kind:
            case "function":
                return need in self.catalogue
            case "extension" | "version":
                return self._has_extension(name) if kind == "extension" else self._has_version(name)
            case "role":
                return self.superuser or name in self.roles
            case "setting":
                setting, equals, wanted = name.partition("=")
                return setting in self.settings and (not equals or self.settings[setting] == wanted)
            case _:
                return False

    def _has_version(self, name: str) -> bool:
        match = _SERVER_NEED.fullmatch(name)
        if match is None:
            return False
        enough = self.version_num >= version_number(match["version"])
        return enough if match["op"] == ">=" else not enough

    def _has_extension(self, name: str) -> bool:
        match = _VERSION_NEED.fullmatch(name)
        if match is None:
            return name in self.extensions
        extension = self.extensions.get(match["name"])
        if extension is None:
            return False
        enough = version_key(extension.version) >= version_key(match["version"])
        return enough if match["op"] == ">=" else not enough

    def schema_of(self, extension: str) -> str:
        """Return the quoted schema of an extension; raise KeyError when it is not installed."""
        return quote_ident(self.extensions[extension].schema)


def version_number(version: str) -> int:
    """Return a server's version as `server_version_num` has it: 15.4 is 150004, 9.6.1 is 90601."""
    major, *rest = version_key(version)
    if major >= _LEAST_NUMBER:
        return major
    minor, patch = [*rest, 0, 0][:2]
    if major >= _FIRST_OF_TWO_PARTS:
        return major * 10000 + minor
    return major * 10000 + minor * 100 + patch


def version_key(version: str) -> tuple[int, ...]:
    """Return an extension's version for comparing: 1.10 is above 1.9."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def quote_ident(name: str) -> str:
    """Return a name as an SQL identifier, always quoted; raise ValueError for a NUL byte."""
    if "\0" in name:
        raise ValueError("an identifier cannot hold a NUL byte")
    return '"' + name.replace('"', '""') + '"'
