"""What guards must know of targets, taken from watching them. Unknown stays None: guards refuse then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from actions.guards.sight import TargetSight
from collectors.model import LabelValues, Number
from daemon.known import TargetState
from daemon.snapshot import Snapshot

LAG = "pg_replication_lag_seconds"
CONNECTIONS = "pg_connections_used_ratio"
FREE = "node_filesystem_avail_bytes"
SIZE = "node_filesystem_size_bytes"
HOST_ENGINE = "host"
HOST_LABEL = "host"
"""Targets with one value of this static label are on one machine: there disk space is looked for."""
MOUNT_LABEL = "mountpoint"
"""Static label of a target: the file system that its data is on."""


class Facts:
    """Answers from the snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def total(self) -> int:
        """Return how many targets are watched."""
        return len(self._snapshot.states())

    def target(self, name: str) -> TargetSight | None:
        """Return what is known of a target; None when it is not watched."""
        states = self._snapshot.states()
        state = states.get(name)
        return self._sight(state, list(states.values())) if state is not None else None

    def cluster(self, name: str) -> Sequence[TargetSight]:
        """Return all targets of a target's cluster, itself among them."""
        states = self._snapshot.states()
        if name not in states:
            return ()
        every = list(states.values())
        return [self._sight(each, every) for each in every if cluster_of(each) == cluster_of(states[name])]

    def cluster_name(self, name: str) -> str:
        """Return the name of a target's cluster: its own where it belongs to none or is not watched."""
        state = self._snapshot.states().get(name)
        return cluster_of(state) if state is not None else name

    def engine(self, name: str) -> str:
        """Return a target's engine; empty when it is not watched."""
        state = self._snapshot.states().get(name)
        return state.target.engine if state is not None else ""

    def names(self) -> Sequence[str]:
        """Return the names of all targets."""
        return list(self._snapshot.states())

    def upstream(self, name: str) -> Sequence[str]:
        """Return what lies under a target and is broken: its machine, as far as that is watched."""
        states = self._snapshot.states()
        if name not in states:
            return ()
        host = dict(states[name].target.labels).get(HOST_LABEL)
        machines = [
            each
            for each in states.values()
            if host and each.target.engine == HOST_ENGINE and dict(each.target.labels).get(HOST_LABEL) == host
        ]
        return [f"{each.name} does not answer" for each in machines if each.up and not each.up.up]

    def _sight(self, state: TargetState, every: Sequence[TargetState]) -> TargetSight:
        up = state.up
        members = [each for each in every if each is not state and cluster_of(each) == cluster_of(state)]
        replicas = [state] if _is_replica(state) else [each for each in members if _is_replica(each)]
        free, size = _disk(state, every)
        age = self._snapshot.clock() - state.answered_at if state.answered_at is not None else None
        return TargetSight(
            name=state.name,
            cluster=cluster_of(state),
            engine=state.target.engine,
            up=up.up if up else None,
            role=up.role if up else "",
            data_age_seconds=age,
            interval_seconds=state.target.interval_seconds,
            answers=_answers(state),
            distress=up.distress if up else "",
            lag_seconds=_worst_lag(replicas),
            lag_applies=bool(replicas),
            free_bytes=free,
            size_bytes=size,
            connections_used_ratio=next((value for _, value in _values(state, CONNECTIONS)), None),
        )


def cluster_of(state: TargetState) -> str:
    """Return the name by which a target's cluster is known."""
    return state.target.cluster or state.name


def _is_replica(state: TargetState) -> bool:
    return state.up is not None and state.up.role == "replica"


def _worst_lag(replicas: Sequence[TargetState]) -> float | None:
    """Return the lag of the one that is furthest behind; None when it is not known of one of them."""
    lags = [next((float(value) for _, value in _values(each, LAG)), math.nan) for each in replicas]
    return max(lags) if lags and not any(map(math.isnan, lags)) else None


def _answers(state: TargetState) -> int:
    """Return how often it has answered since it came up: one in each interval."""
    if state.up is None or not state.up.up or state.since is None or state.last_seen is None:
        return 0
    return 1 + max(0, math.floor((state.last_seen - state.since) / state.target.interval_seconds + 0.5))


def _disk(state: TargetState, every: Sequence[TargetState]) -> tuple[float | None, float | None]:
    """Return free space and size of the file system that a target names, as its machine's targets tell."""
    labels = dict(state.target.labels)
    host, mount = labels.get(HOST_LABEL), labels.get(MOUNT_LABEL)
    if not host or not mount:
        return None, None
    there = [each for each in every if dict(each.target.labels).get(HOST_LABEL) == host]
    found = [_least(metric, mount, there) for metric in (FREE, SIZE)]
    return found[0], found[1]


def _least(metric: str, mount: str, states: Sequence[TargetState]) -> float | None:
    values = [
        float(value)
        for state in states
        for labels, value in _values(state, metric)
        if labels.get(MOUNT_LABEL) == mount
    ]
    return min(values, default=None)


def _values(state: TargetState, metric: str) -> Iterator[tuple[dict[str, str], Number]]:
    for block in state.blocks():
        for index, one in enumerate(block.layout.metrics):
            if one.name == metric:
                yield from _rows(one.labels, block.keys, block.columns[index])


def _rows(
    names: Sequence[str], keys: Sequence[LabelValues], values: Sequence[Number | None]
) -> Iterator[tuple[dict[str, str], Number]]:
    for key, value in zip(keys, values, strict=True):
        if value is not None and math.isfinite(value):
            yield dict(zip(names, key, strict=True)), value
