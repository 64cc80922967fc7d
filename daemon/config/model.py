"""The configuration as values: what each key means, its unit, its default and why."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    SerializeAsAny,
    field_validator,
)

from actions.policy import Policies
from collectors.definition import ProbeDef
from collectors.file_path import FilePath
from daemon.config.acting import ActingSettings, ActSettings, Caps
from daemon.config.judging import AlertmanagerSettings, HistorySettings, RulesSettings
from daemon.config.listen import Listen, is_host_name, parse_listen
from daemon.config.settings import Settings
from daemon.config.values import (
    AbsolutePath,
    Count,
    Deadline,
    Interval,
    LabelName,
    LabelValue,
    Name,
    Sha256,
    Share,
)
from rules.model import Group

TokenScope = Literal["read", "intake", "propose", "approve", "admin"]


class LogSettings(Settings):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    """auto: coloured lines on a terminal, JSON elsewhere."""


class DaemonSettings(Settings):
    """The process itself."""

    listen: str = "127.0.0.1:8720"
    """HOST:PORT, [IPv6]:PORT or unix:/path; other than loopback needs `http.tls` and `http.tokens`."""
    state_dir: AbsolutePath = "/var/lib/dbarchitect"
    """Belongs to one daemon at a time."""
    uvloop: bool = True
    log: LogSettings = LogSettings()

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return str(parse_listen(value))

    @property
    def address(self) -> Listen:
        """Return where to listen."""
        return parse_listen(self.listen)


class TlsSettings(Settings):
    """The server's certificate (PEM), with its chain, and its key."""

    cert_file: FilePath
    key_file: FilePath


class TokenSettings(Settings):
    """A bearer token that clients show; only its hash is kept."""

    name: Name
    scopes: tuple[TokenScope, ...] = Field(min_length=1)
    sha256: Sha256


class HttpSettings(Settings):
    """Who may speak to the daemon, and how."""

    tls: TlsSettings | None = None
    tokens: tuple[TokenSettings, ...] = ()
    """With none, whoever reaches the address may read."""
    allow_insecure: bool = False
    """Listen beyond loopback without TLS or tokens; for networks that are closed by other means."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that clients may call us by, besides the address itself: keeps DNS rebinding out."""

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(is_host_name(one) for one in value):
            raise ValueError("should be names of hosts, without scheme and port")
        return tuple(one.lower() for one in value)


class ExpositionSettings(Settings):
    """What /metrics gives."""

    aliases: bool = False
    """Older names of the same metrics too, for dashboards that still ask for them."""
    series_max_total: Count = Field(default=1_000_000, ge=100, le=50_000_000)
    """Hard cap over all targets."""


class CommonSettings(Settings):
    """What a target may set for itself and `defaults` for all."""

    interval: Interval | None = None
    """How often light probes run; slower ones keep their own pace."""
    deadline: Deadline | None = None
    """How long a connection, or the question whether the server is up, may take."""
    series_max: Annotated[Count, Field(ge=10, le=10_000_000)] | None = None
    """Hard cap on a target's series; what stays is chosen stably."""
    database_time_per_minute: Share | None = None
    """What medium and heavy probes may take of a server's time in a minute."""
    collect: dict[str, bool] = Field(default_factory=dict)
    """Probes switched on or off by name; `*` means all the others."""


class DefaultSettings(CommonSettings):
    """What holds for targets that say nothing else."""

    interval: Interval = 10.0
    deadline: Deadline = 5.0
    series_max: Annotated[Count, Field(ge=10, le=10_000_000)] = 20_000
    database_time_per_minute: Share = 3.0
    sessions_max: Annotated[Count, Field(ge=1, le=10)] | None = None
    """Sessions on one server; for engines that have this option."""


class MetricsFile(Settings):
    """Files of SQL metrics of one's own. A plain string stands for `files`."""

    files: FilePath
    """A path, or a pattern with `*`, `?` and `[...]`; a pattern may match nothing."""
    engine: str = "postgresql"


class TargetSettings(CommonSettings):
    """One server to watch; keys that are not here belong to its engine."""

    name: Name
    engine: str
    cluster: Annotated[str, Field(max_length=100)] = ""
    """Servers with one `cluster` belong together: a primary and its replicas."""
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict)
    """Carried by every series of the target."""
    act: ActSettings | None = None
    """How far one may go here, and as whom; left out: plans are made, and cannot be carried out."""
    options: SerializeAsAny[BaseModel] = Field(exclude=True)
    """The engine's own keys, checked by `Engine.options`; they stand flat beside the others."""

    @field_validator("cluster")
    @classmethod
    def _is_label_value(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("should be printable characters")
        return value


def _as_files(value: object) -> object:
    return {"files": value} if isinstance(value, str) else value


class Config(Settings):
    """The whole configuration."""

    daemon: DaemonSettings = DaemonSettings()
    http: HttpSettings = HttpSettings()
    exposition: ExpositionSettings = ExpositionSettings()
    defaults: DefaultSettings = DefaultSettings()
    metrics_files: tuple[Annotated[MetricsFile, BeforeValidator(_as_files)], ...] = ()
    rules: RulesSettings = RulesSettings()
    alertmanagers: tuple[AlertmanagerSettings, ...] = ()
    """All of them get every alert."""
    history: HistorySettings = HistorySettings()
    acting: ActingSettings = ActingSettings()
    targets: tuple[TargetSettings, ...]
    allow_inline_secrets: bool = False
    """Passwords in this file itself; for trying things out."""

    _custom_probes: tuple[ProbeDef, ...] = PrivateAttr(default=())
    _groups: tuple[Group, ...] = PrivateAttr(default=())
    _policies: Policies = PrivateAttr(default=Policies())

    @field_validator("alertmanagers")
    @classmethod
    def _are_told_once(cls, value: tuple[AlertmanagerSettings, ...]) -> tuple[AlertmanagerSettings, ...]:
        urls = [each.url for each in value]
        if twice := [url for url in urls if urls.count(url) > 1]:
            raise ValueError(f"{twice[0]} is there twice: each gets every alert once")
        return value

    @property
    def custom_probes(self) -> tuple[ProbeDef, ...]:
        """Return the probes that `metrics_files` declare, of all engines."""
        return self._custom_probes

    @property
    def groups(self) -> tuple[Group, ...]:
        """Return the rules that are judged by: packs, and `rules.files`."""
        return self._groups

    @property
    def policies(self) -> Policies:
        """Return what alerts lead to: `acting.policy_files`, then the program's own."""
        return self._policies

    @property
    def caps(self) -> Caps:
        """Return how far policies may go at each target."""
        return Caps(self.acting.shadow, {one.name: one.act for one in self.targets})

    def with_parts(
        self,
        targets: tuple[TargetSettings, ...],
        probes: tuple[ProbeDef, ...],
        groups: tuple[Group, ...],
        policies: Policies,
    ) -> Config:
        """Return the same configuration with these targets, and with what its other files hold."""
        copy = self.model_copy(update={"targets": targets})
        copy._custom_probes = probes  # noqa: SLF001 - its own class
        copy._groups = groups  # noqa: SLF001
        copy._policies = policies  # noqa: SLF001
        return copy
