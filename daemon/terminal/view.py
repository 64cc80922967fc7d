"""Targets as the daemon's API tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.terminal.client import CannotAsk, Client

TARGETS = "/api/v1/targets"
SERIES = "/api/v1/series"
STATEMENTS = "/api/v1/statements"
_PAGE = 1000
_SESSIONS = "dbarchitect_sessions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A probe that gives nothing now."""

    probe: str
    database: str
    cause: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCollected:
    """What is not asked for here, and why."""

    probe: str
    what: str
    """A metric; empty for the whole probe."""
    reason: str
    expected: bool
    """Nothing to mend: another version, another role, an extension that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """One target. Times are Unix seconds by the daemon's clock; None is unknown."""

    name: str
    engine: str
    cluster: str
    address: str
    role: str
    version: str
    up: bool | None
    """None before the first look."""
    cause: str
    message: str
    since: float | None
    newest: float | None
    """When the newest data came in."""
    series: int
    distress: str
    interval_seconds: float
    failing: Sequence[Failing]
    not_collected: Sequence[NotCollected]
    probes: Sequence[str]
    answered: Mapping[tuple[str, str], float]
    """Probe and database -> when it last gave data there; empty for probes that are asked once per server."""

    @property
    def failing_probes(self) -> int:
        """Return the number of probes that fail in one database or more."""
        return len({one.probe for one in self.failing})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All targets at one moment."""

    now: float
    """Unix seconds by the daemon's clock."""
    targets: Sequence[TargetView]
    sessions: Mapping[str, float]
    """Target -> sessions that the daemon holds there; empty when they were not asked for."""


async def overview(client: Client, *, sessions: bool = False) -> Overview:
    """Return all targets; raise CannotAsk."""
    answer = await client.json(TARGETS)
    try:
        found = [_target(one) for one in answer["targets"]]
        now = float(answer["now"])
        held = await _sessions(client) if sessions else {}
    except (KeyError, TypeError, ValueError) as error:
        raise CannotAsk(
            f"{client.address.url}: the answer of {TARGETS} is not as this version of dbarchitect knows it "
            f"({error!r}); use the dbarchitect that the daemon runs."
        ) from None
    return Overview(now=now, targets=found, sessions=held)


async def targets(client: Client) -> list[TargetView]:
    """Return all targets; raise CannotAsk."""
    return list((await overview(client)).targets)


async def texts(client: Client, target: str) -> dict[str, str]:
    """Return the texts of a target's statements by queryid; raise CannotAsk."""
    answer = await client.json(STATEMENTS, {"target": target})
    found = answer.get("texts") if isinstance(answer, dict) else None
    return found if isinstance(found, dict) else {}


async def _sessions(client: Client) -> dict[str, float]:
    held: dict[str, float] = {}
    offset: int | None = 0
    while offset is not None:
        params = {"match": _SESSIONS, "limit": str(_PAGE), "offset": str(offset)}
        answer = await client.json(SERIES, params)
        held |= {one["labels"]["target"]: float(one["value"]) for one in answer["series"]}
        offset = answer["next_offset"]
    return held


def _target(one: Mapping[str, Any]) -> TargetView:
    probes = one["probes"]
    times = [one["last_seen"], *(probe["last_success"] for probe in probes)]
    return TargetView(
        name=one["name"],
        engine=one["engine"],
        cluster=one["cluster"],
        address=one["address"],
        role=one["role"],
        version=one["version"],
        up=one["up"],
        cause=one["cause"],
        message=one["message"],
        since=one["since"],
        newest=max((time for time in times if time is not None), default=None),
        series=one["series"],
        distress=one["distress"],
        interval_seconds=one["interval_seconds"],
        failing=[
            Failing(probe=probe["name"], **{key: fault[key] for key in ("database", "cause", "message")})
            for probe in probes
            for fault in probe["failures"]
        ],
        not_collected=[
            NotCollected(
                probe=each["probe"],
                what=each["what"],
                reason=each["reason"],
                expected=each.get("expected", False),
            )
            for each in one["rejections"]
        ],
        probes=[probe["name"] for probe in probes],
        answered={
            (probe["name"], database): at for probe in probes for database, at in probe["answered"].items()
        },
    )
