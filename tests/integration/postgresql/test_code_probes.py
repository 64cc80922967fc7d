"""Every probe in code, on every version, by a role with pg_monitor and by one without."""

from __future__ import annotations

import contextlib
import importlib

import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.errors import NotAllowed, NotSupported
from collectors.model import Target
from collectors.postgresql.options import PostgresOptions
from collectors.postgresql.probe import CodeProbe
from tests.fixtures.databases import NewLogin
from tests.fixtures.runners import lacks, monitoring_session

MODULES = (
    "statements", "statement_texts", "blocking", "horizon", "lag", "bloat", "xids", "connections", "companions",
)  # fmt: skip
PROBES = [
    pytest.param(probe, id=probe.info.name)
    for module in MODULES
    for probe in importlib.import_module(f"collectors.postgresql.{module}").PROBES
]
TARGET = Target(name="every", engine="postgresql", options=PostgresOptions())


def test_no_metric_is_given_by_two_probes() -> None:
    names = [metric.name for param in PROBES for metric in param.values[0].info.metrics]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("probe", PROBES)
def test_metrics_are_named_and_explained(probe: CodeProbe) -> None:
    for metric in probe.info.metrics:
        assert metric.name.startswith("pg_")
        assert metric.help.endswith("."), metric.help
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name


@pytest.mark.parametrize("probe", PROBES)
async def test_runs_three_times_with_pg_monitor_and_gives_only_what_it_declares(
    any_postgres: ScratchPostgres, monitor_role: NewLogin, probe: CodeProbe
) -> None:
    declared = {metric.name: metric for metric in probe.info.metrics}
    async with monitoring_session(any_postgres, login=await monitor_role(any_postgres)) as session:
        if reason := lacks(session, probe):
            assert reason.startswith("extension:"), reason
            return
        runner = probe.make(TARGET)
        for _ in range(3):
            result = await runner.run(session)
        for frame in result.frames:
            assert len(set(frame.keys)) == len(frame.keys)
            assert len(frame.columns) == len(frame.metrics)
            for metric, column in zip(frame.metrics, frame.columns, strict=True):
                assert declared[metric.name] is metric or declared[metric.name] == metric
                assert len(column) == len(frame.keys) <= max(probe.info.rows_max, 2 * len(frame.metrics))
                assert all(isinstance(value, int | float | None) for value in column), metric.name
                assert all(len(key) == len(metric.labels) for key in frame.keys)


@pytest.mark.parametrize("probe", PROBES)
async def test_a_bare_role_gets_a_reason_or_an_answer_and_never_a_crash(
    any_postgres: ScratchPostgres, bare_role: NewLogin, probe: CodeProbe
) -> None:
    async with monitoring_session(any_postgres, login=await bare_role(any_postgres)) as session:
        if lacks(session, probe):
            return
        with contextlib.suppress(NotAllowed, NotSupported):
            await probe.make(TARGET).run(session)
