"""What a target of engine `pgbouncer` may say: where the admin console is, and who we are there."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collectors.file_path import FilePath
from collectors.secret_ref import SecretRef

TlsMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class TlsOptions(BaseModel):
    """How the connection is secured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: TlsMode | None = None
    """Left out: verify-full over the network, prefer on loopback, none on a UNIX socket."""
    ca_file: FilePath | None = None
    """Certificate authority; left out: those of the system."""


class PgbouncerOptions(BaseModel):
    """Options of a pgBouncer target; the user has to be in `stats_users` (or `admin_users`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", min_length=1)
    """Name, address, or directory of the UNIX socket."""
    port: int = Field(default=6432, ge=1, le=65535)
    user: str = Field(default="dbarchitect", min_length=1)
    password: SecretRef | None = None
    tls: TlsOptions = TlsOptions()

    @model_validator(mode="after")
    def _check(self) -> PgbouncerOptions:
        if any("\0" in text for text in (self.host, self.user)):
            raise ValueError("a name cannot hold a NUL byte")
        if self.on_socket and self.tls.mode not in (None, "disable", "prefer"):
            raise ValueError(f"tls.mode {self.tls.mode} is not possible on a UNIX socket")
        return self

    @property
    def on_socket(self) -> bool:
        """Tell whether the console is reached by a UNIX socket."""
        return self.host.startswith("/")

    @property
    def tls_mode(self) -> TlsMode:
        """Return the mode in force."""
        if self.on_socket:
            return "disable"
        return self.tls.mode or ("prefer" if _is_loopback(self.host) else "verify-full")

    @property
    def address(self) -> str:
        """Return host:port: nothing in it is secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
