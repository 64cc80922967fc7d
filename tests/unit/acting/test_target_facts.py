"""What guards know of targets: unknown stays unknown."""

from __future__ import annotations

from typing import Any

from collectors.model import Frame, Kind, MetricDef, Observation, ProbeInfo, Target, Up
from daemon.acting.facts import CONNECTIONS, FREE, LAG, SIZE, Facts
from daemon.snapshot import Snapshot


class Seen:
    def __init__(self) -> None:
        self.at = 1000.0
        self.snapshot = Snapshot({}, lambda: self.at)
        self.facts = Facts(self.snapshot)

    def add(self, name: str, engine: str = "postgresql", cluster: str = "shop", **labels: str) -> None:
        target = Target(name=name, engine=engine, cluster=cluster, labels=tuple(labels.items()))
        self.snapshot.add_target(target)

    def up(self, name: str, role: str = "primary", up: bool = True) -> None:
        self.snapshot.record_up(name, Up(up=up, at=self.at, role=role))

    def gives(self, name: str, metric: str, value: float, **labels: str) -> None:
        known = MetricDef(name=metric, kind=Kind.GAUGE, help="", labels=tuple(labels))
        frame = Frame((known,), [tuple(labels.values())], [[value]])
        seen = Observation(probe=metric, at=self.at, took_seconds=0.0, frames=(frame,))
        self.snapshot.record(name, seen, ProbeInfo(name=metric, every_seconds=10, within_seconds=1))


def sight(seen: Seen, name: str = "pg1") -> Any:
    found = seen.facts.target(name)
    assert found is not None
    return found


def test_a_target_that_nobody_watches_or_has_seen_is_not_known() -> None:
    seen = Seen()
    assert seen.facts.target("pg1") is None
    seen.add("pg1")
    found = sight(seen)
    assert (found.up, found.data_age_seconds, found.answers) == (None, None, 0)
    assert (found.lag_seconds, found.free_bytes, found.connections_used_ratio) == (None, None, None)


def test_age_and_answers_count_from_when_it_came_up() -> None:
    seen = Seen()
    seen.add("pg1")
    for _ in range(4):
        seen.up("pg1")
        seen.at += 10
    assert (sight(seen).data_age_seconds, sight(seen).answers) == (10.0, 4)
    seen.up("pg1", up=False)
    assert (sight(seen).up, sight(seen).answers) == (False, 0)


def test_lag_is_that_of_the_worst_replica_and_unknown_when_one_is() -> None:
    seen = Seen()
    for name, role in (("pg1", "primary"), ("pg2", "replica"), ("pg3", "replica")):
        seen.add(name)
        seen.up(name, role)
    assert (sight(seen).lag_applies, sight(seen).lag_seconds) == (True, None)
    seen.gives("pg2", LAG, 3.0)
    assert sight(seen).lag_seconds is None
    seen.gives("pg3", LAG, 7.0)
    assert sight(seen).lag_seconds == 7.0
    assert sight(seen, "pg2").lag_seconds == 3.0
    assert [each.name for each in seen.facts.cluster("pg1")] == ["pg1", "pg2", "pg3"]


def test_disk_space_is_that_of_the_mount_that_a_target_names_on_its_machine() -> None:
    seen = Seen()
    seen.add("pg1", host="db1", mountpoint="/data")
    seen.add("m1", engine="host", cluster="", host="db1")
    seen.add("m2", engine="host", cluster="", host="db2")
    for name in ("pg1", "m1", "m2"):
        seen.up(name)
    seen.gives("m2", FREE, 1.0, mountpoint="/data")
    assert sight(seen).free_bytes is None
    seen.gives("m1", FREE, 50.0, mountpoint="/data")
    seen.gives("m1", SIZE, 100.0, mountpoint="/data")
    assert (sight(seen).free_bytes, sight(seen).size_bytes) == (50.0, 100.0)
    assert seen.facts.upstream("pg1") == []
    seen.up("m1", up=False)
    assert seen.facts.upstream("pg1") == ["m1 does not answer"]


def test_connections_and_the_name_of_the_cluster() -> None:
    seen = Seen()
    seen.add("pg1", cluster="")
    seen.up("pg1")
    seen.gives("pg1", CONNECTIONS, 0.5)
    assert sight(seen).connections_used_ratio == 0.5
    assert (sight(seen).cluster, seen.facts.cluster_name("pg9")) == ("pg1", "pg9")
