"""Servers that change their role: a failover that went well, and one that left two primaries."""

from __future__ import annotations

from tests.fixtures.courts import Court
from tests.fixtures.proofs import caused
from tests.fixtures.replicating import streams
from tests.fixtures.servers import NewPostgres, Pair


@caused("PostgresqlTwoPrimaries", "PostgresqlRoleChanged")
async def test_a_promoted_replica_beside_its_primary_is_one_primary_too_many(
    court: Court, flock: Pair, new_postgres: NewPostgres
) -> None:
    primary = flock[0]
    replica = await new_postgres(replica_of=primary)
    await streams(primary, replica)
    first, second = court.watch(primary, "pg1"), court.watch(replica, "pg2")
    away = court.watch(replica, "pg3", cluster="")
    await court.look()
    court.hold(2)
    assert court.names() == set()
    await replica.promote()
    await court.look()
    court.hold(0.5)
    changed = [second.labels(severity="warning"), away.labels(severity="warning")]
    assert court.told("PostgresqlRoleChanged") == changed
    assert all("is a primary now" in words for words in court.words("PostgresqlRoleChanged"))
    assert court.names() == {"PostgresqlRoleChanged"}
    court.hold(0.5)
    both = [first.labels(severity="critical"), second.labels(severity="critical")]
    assert court.told("PostgresqlTwoPrimaries") == both
    await court.forget(first)
    court.hold(1)
    assert "PostgresqlTwoPrimaries" not in court.names()
    court.hold(16)
    assert court.names() <= {"PostgresqlTargetVanished"}


@caused("PostgresqlNoPrimary", "PostgresqlReplicaNotStreaming")
async def test_a_cluster_that_lost_its_primary_to_a_standby_signal_has_none(
    court: Court, flock: Pair, new_postgres: NewPostgres
) -> None:
    primary = flock[0]
    former = await new_postgres(replica_of=primary)
    await former.promote()
    watched = court.watch(former, "pg9", cluster="other")
    await watched.look()
    court.hold(5)
    assert court.names() == set()
    await former.stop()
    await former.put("standby.signal", "")
    await former.start()
    await watched.look()
    court.hold(1.5)
    assert court.told("PostgresqlNoPrimary") == [{"cluster": "other", "severity": "critical"}]
    assert court.told("PostgresqlRoleChanged") == [watched.labels(severity="warning")]
    assert "is a replica now" in court.words("PostgresqlRoleChanged")[0]
    court.hold(2)
    assert court.told("PostgresqlReplicaNotStreaming") == [watched.labels(severity="warning")]
