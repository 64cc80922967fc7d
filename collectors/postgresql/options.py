"""What a target of engine `postgresql` may say: where the server is, who we are, what to leave out."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collectors.file_path import FilePath
from collectors.secret_ref import SecretRef
from collectors.strict_yaml import did_you_mean

TlsMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
_PAIR = re.compile(r"\s*([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)", re.IGNORECASE)
_OTHER_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "application_name")
_PARAMETERS = "it may say host, port, user, password, dbname, sslmode, sslrootcert, sslcert and sslkey"
_FROM_DSN = {"host": "host", "port": "port", "user": "user", "dbname": "dbname", "password": "password"}


class TlsOptions(BaseModel):
    """How the connection is secured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: TlsMode | None = None
    """Left out: verify-full over the network, prefer on loopback, none on a UNIX socket."""
    ca_file: FilePath | None = None
    """Certificate authority; left out: those of the system."""
    cert_file: FilePath | None = None
    key_file: FilePath | None = None


class DatabaseChoice(BaseModel):
    """Databases in which per-database probes run, by shell patterns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()


class PostgresOptions(BaseModel):
    """Options of a PostgreSQL target."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: str = Field(default="", repr=False, exclude=True)
    """`postgresql://user@host:port/dbname?sslmode=...` or `host=... user=...`, in place of the keys below."""
    host: str = "127.0.0.1"
    """Name, address, or directory of the UNIX socket."""
    port: int = Field(default=5432, ge=1, le=65535)
    user: str = Field(default="dbarchitect", min_length=1)
    password: SecretRef | None = None
    dbname: str = "postgres"
    """The database that server-wide probes are asked in."""
    tls: TlsOptions = TlsOptions()
    databases: DatabaseChoice = DatabaseChoice()
    sessions_max: int = Field(default=3, ge=1, le=10)
    """Sessions that we hold on this server at the most, one in each database."""
    statements_max: int = Field(default=50, ge=0, le=1_000_000)
    """Statements of pg_stat_statements that have series of their own; 0 means all of them."""
    statements_detail: bool = False
    """Also local blocks, JIT, parallel workers, plans, shortest, mean and deviation of each statement."""
    rows_max: dict[str, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(default_factory=dict)
    """Rows that probes asked in SQL show in each database, by probe, in place of their own cap."""
    lock_timeout_ms: int = Field(default=250, ge=10, le=5000)
    """How long one of our queries waits for a lock."""

    @model_validator(mode="before")
    @classmethod
    def _unfold_dsn(cls, data: Any) -> Any:  # noqa: ANN401 - pydantic hands over what stands in the file
        if not isinstance(data, dict) or not data.get("dsn"):
            return data
        found = parse_dsn(str(data["dsn"]))
        both = sorted(key for key in found if key in data)
        if both:
            raise ValueError(f"{', '.join(both)} stand in dsn and as keys of their own: keep one of the two")
        return {**{key: value for key, value in data.items() if key != "dsn"}, **found}

    @model_validator(mode="after")
    def _check(self) -> PostgresOptions:
        if "," in self.host:
            raise ValueError("host names several servers: make each a target of its own")
        if bool(self.tls.cert_file) != bool(self.tls.key_file):
            raise ValueError("tls.cert_file and tls.key_file belong together")
        if self.on_socket and self.tls.mode not in (None, "disable", "prefer"):
            raise ValueError(f"tls.mode {self.tls.mode} is not possible on a UNIX socket")
        return self

    @property
    def on_socket(self) -> bool:
        """Tell whether the server is reached by a UNIX socket."""
        return self.host.startswith(("/", "@"))

    @property
    def on_loopback(self) -> bool:
        """Tell whether the server is reached without leaving this host's network stack."""
        return not self.on_socket and _is_loopback(self.host)

    @property
    def tls_mode(self) -> TlsMode:
        """Return the mode in force."""
        if self.on_socket:
            return "disable"
        return self.tls.mode or ("prefer" if _is_loopback(self.host) else "verify-full")

    @property
    def address(self) -> str:
        """Return host:port/dbname: nothing in it is secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.dbname}"


def parse_dsn(dsn: str) -> dict[str, Any]:
    """Return the options that a connection URI or a key=value string stands for.

    Raise ValueError without ever quoting the string: it may hold a password.
    """
    try:
        pairs = _uri_pairs(dsn) if re.match(r"postgres(ql)?://", dsn) else _keyword_pairs(dsn)
    except ValueError as error:
        raise ValueError(f"dsn: {error}") from None
    options: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    for key, value in pairs:
        if key in _FROM_DSN and value:
            options[_FROM_DSN[key]] = _port(value) if key == "port" else value
        elif key == "sslmode":
            tls["mode"] = "prefer" if value == "allow" else value
        elif key in ("sslrootcert", "sslcert", "sslkey"):
            tls[{"sslrootcert": "ca_file", "sslcert": "cert_file", "sslkey": "key_file"}[key]] = value
        elif key in ("service", "passfile"):
            raise ValueError(f"dsn: {key} is not supported: write host, user and password here")
        elif key not in ("application_name", "connect_timeout", "target_session_attrs", "client_encoding"):
            # The name is not shown: in `password=two words=x` it is the end of the password.
            near = did_you_mean(key, (*_FROM_DSN, *_OTHER_PARAMETERS))
            raise ValueError(
                "dsn: an empty value"
                if key in _FROM_DSN
                else f"dsn: unknown parameter: {near or _PARAMETERS}"
            )
    if tls:
        options["tls"] = tls
    return options


def _port(text: str) -> int:
    if not text.isdigit():
        raise ValueError("dsn: the port is not a number")
    return int(text)


def _uri_pairs(dsn: str) -> list[tuple[str, str]]:
    try:
        parts = urlsplit(dsn)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a connection URI (is a character in the password not %-encoded?)") from None
    if parts.fragment or "@" in parts.path + parts.query:
        # A reserved character in the password has ended it early: the rest of it must not pass as a name.
        raise ValueError(
            "not a connection URI (is a character such as / ? # @ in the password not %-encoded?)"
        )
    if "," in parts.netloc:
        raise ValueError("names several servers: make each a target of its own")
    pairs = [
        ("host", unquote(host or "")),
        ("port", str(port or "")),
        ("user", unquote(parts.username or "")),
        ("password", unquote(parts.password or "")),
        ("dbname", unquote(parts.path.removeprefix("/"))),
    ]
    return [(key, value) for key, value in pairs if value] + parse_qsl(parts.query, keep_blank_values=True)


def _keyword_pairs(dsn: str) -> list[tuple[str, str]]:
    pairs, at = [], 0
    while dsn[at:].strip():
        match = _PAIR.match(dsn, at)
        if match is None or (match.end() < len(dsn) and not dsn[match.end()].isspace()):
            raise ValueError("not of the form key=value (quote a value with blanks in single quotes)")
        value = match[2]
        if value.startswith("'"):
            value = value[1:-1]
        pairs.append((match[1].lower(), re.sub(r"\\(.)", r"\1", value)))
        at = match.end()
    return pairs


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
