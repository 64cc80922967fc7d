"""Acting: whether, by which policies, where the journal is kept, and how far one may go at a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from actions.command.model import Command
from actions.command.model import Name as CommandName
from actions.model import Mode
from collectors.postgresql.options import PostgresOptions, TlsOptions
from collectors.secret_ref import SecretRef
from daemon.config.settings import Settings
from daemon.config.values import AbsolutePath, Count

POLICY_FILES = ("/etc/dbarchitect/policies/*.yaml", "/etc/dbarchitect/policies/*.yml")
STOP_FILE = "/run/dbarchitect/STOP"


class StoreServerSettings(Settings):
    """A PostgreSQL database that several daemons share; not one of those that they repair."""

    host: str = "127.0.0.1"
    """Name, address, or directory of the UNIX socket."""
    port: Annotated[Count, Field(ge=1, le=65535)] = 5432
    user: Annotated[str, Field(min_length=1)] = "dbarchitect"
    password: SecretRef | None = None
    dbname: Annotated[str, Field(min_length=1)] = "dbarchitect"
    tls: TlsOptions = TlsOptions()

    @model_validator(mode="after")
    def _check(self) -> StoreServerSettings:
        if "," in self.host:
            raise ValueError("host names several servers: name the one that can be written to")
        if bool(self.tls.cert_file) != bool(self.tls.key_file):
            raise ValueError("tls.cert_file and tls.key_file belong together")
        if self.options.on_socket and self.tls.mode not in (None, "disable", "prefer"):
            raise ValueError(f"tls.mode: {self.tls.mode} is not possible on a UNIX socket")
        return self

    @property
    def options(self) -> PostgresOptions:
        """Return where it is as those who connect take it."""
        return PostgresOptions.model_construct(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=self.dbname,
            tls=self.tls,
        )


class StoreSettings(Settings):
    """Where plans, approvals and the journal are kept: a file in `state_dir` unless a server is named."""

    postgresql: StoreServerSettings | None = None


def _as_store(value: object) -> object:
    if value == "sqlite":
        return {}
    if isinstance(value, str):
        raise ValueError("should be sqlite, or {postgresql: {host: ..., password: {file: ...}}}")  # noqa: TRY004
    return value


class ActingSettings(Settings):
    """What is done about alerts."""

    enabled: bool = True
    """Off: alerts lead to nothing, and nobody can ask for an action."""
    builtin: bool = True
    """The policies that come with the program, all of them `advise`, after those of `policy_files`."""
    policy_files: tuple[str, ...] = POLICY_FILES
    """Files of policies, tried in this order; patterns with `*` may match nothing."""
    shadow: bool = False
    """No policy goes beyond `observe`: only what would have been done is recorded."""
    stop_file: AbsolutePath = STOP_FILE
    """While this file is there, nothing is done."""
    store: Annotated[StoreSettings, BeforeValidator(_as_store)] = StoreSettings()
    """`sqlite` stands for the file."""
    anchor_file: AbsolutePath | None = None
    """Where the head of the journal's hash chain is noted, best on another disk; left out: in `state_dir`."""
    commands: dict[CommandName, Command] = Field(default_factory=dict)
    """Programs of one's own that policies may name as `command.NAME`."""


class ActSettings(Settings):
    """How far one may go at one target, and as whom."""

    mode: Mode = Mode.ADVISE
    """The most that any policy may do here: observe, advise, approve or auto."""
    user: str = ""
    """The role that acts; needed where the engine knows users and the mode is approve or auto."""
    password: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class Caps:
    """How far policies may go at each target, and who says so."""

    shadow: bool
    by_target: Mapping[str, ActSettings | None]

    def of(self, target: str) -> tuple[Mode, str]:
        """Return the most that any policy may do at a target, and the key that says so."""
        act = self.by_target.get(target)
        if self.shadow:
            return Mode.OBSERVE, "acting.shadow"
        if act is None:
            return Mode.ADVISE, f"{target or 'the target'}, which has no `act`,"
        return act.mode, f"act.mode of {target}"
