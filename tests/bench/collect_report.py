"""The tables at the end: the goals with what was measured, and everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.bench.collect_default import Measured
from tests.bench.collect_everything import Everything
from tests.bench.collect_many import Many

SERVER_MS, ALL_WALL_MS, ALL_CPU_MS = 3.0, 90.0, 65.0
COLD_SECONDS, WARM_SECONDS = 0.08, 0.01
CORE_SHARE, DELAY_SECONDS, MANY_MB = 0.25, 1.0, 250.0


@dataclass(frozen=True, slots=True)
class Row:
    """One goal."""

    what: str
    peer: float | None
    ours: float
    unit: str
    goal: str
    met: bool

    @property
    def ratio(self) -> float | None:
        return self.peer / self.ours if self.peer is not None and self.ours else None


def default_rows(found: dict[str, Measured]) -> list[Row]:
    peer, same, full = found["exporter"], found["same"], found["full"]
    theirs = peer.server.exec_ms + peer.server.slow_ms
    ours = same.server.exec_ms + same.server.slow_ms
    return [
        Row(
            f"default metrics, CPU per scrape ({peer.series:,} / {full.series:,} series)",
            peer.cpu_ms, full.cpu_ms, "ms", "no more, and over twice the series",
            full.cpu_ms <= peer.cpu_ms and full.series > 2 * peer.series,
        ),
        Row(
            f"the same information only, CPU per scrape ({peer.series:,} / {same.series:,} series)",
            peer.cpu_ms, same.cpu_ms, "ms", "", same.cpu_ms <= peer.cpu_ms,
        ),
        Row(
            "server execution per scrape, same information", theirs, ours, "ms", f"under {SERVER_MS:g} ms",
            ours < SERVER_MS,
        ),
    ]  # fmt: skip


def everything_rows(found: dict[str, Everything]) -> list[Row]:
    peer = found["exporter_all"]
    rows = []
    for name, how in (("ours_all", "the same SQL"), ("ours_builtin", "our own statements probe")):
        one = found[name]
        series = f"({peer.measured.series:,} / {one.measured.series:,} series, {how})"
        rows += [
            Row(
                f"everything, wall {series}", peer.wall_ms, one.wall_ms, "ms", f"under {ALL_WALL_MS:g} ms",
                one.wall_ms < ALL_WALL_MS,
            ),
            Row(
                f"everything, CPU {series}", peer.measured.cpu_ms, one.measured.cpu_ms, "ms",
                f"under {ALL_CPU_MS:g} ms", one.measured.cpu_ms < ALL_CPU_MS,
            ),
        ]  # fmt: skip
    return rows


def exposition_rows(ours: dict[str, float], theirs: dict[str, float]) -> list[Row]:
    return [
        Row(
            "exposition of 100,000 series, cold", theirs["warm"], ours["cold"], "s",
            f"under {COLD_SECONDS:g} s", ours["cold"] < COLD_SECONDS,
        ),
        Row(
            "exposition of 100,000 series, warm", theirs["warm"], ours["warm"], "s",
            f"under {WARM_SECONDS:g} s", ours["warm"] < WARM_SECONDS,
        ),
    ]  # fmt: skip


def many_rows(found: Sequence[Many]) -> list[Row]:
    rows = []
    for one in found:
        what = f"{one.targets} targets at 10 s, {'uvloop' if one.uvloop else 'asyncio'}"
        rows += [
            Row(
                f"{what}: share of one core, scraped each 10 s", None, one.core_share * 100, "%",
                f"under {CORE_SHARE * 100:g} %", one.core_share < CORE_SHARE,
            ),
            Row(
                f"{what}: p99 delay of the data", None, one.delay_p99_seconds, "s", f"under {DELAY_SECONDS:g} s",
                one.delay_p99_seconds < DELAY_SECONDS and one.up == one.targets,
            ),
            Row(f"{what}: resident", None, one.rss_mb, "MB", f"under {MANY_MB:g} MB", one.rss_mb < MANY_MB),
        ]  # fmt: skip
    return rows


def show(rows: Sequence[Row]) -> None:
    table = Table(title="Goals (peer: prometheus-postgres-exporter or prometheus_client, in this run)")
    for name in ("", "peer", "ours", "goal", "met", "peer / ours"):
        table.add_column(name, justify="left" if name in ("", "goal") else "right")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.1f} x"
        peer = "" if row.peer is None else f"{_figure(row.peer)} {row.unit}"
        met = "" if not row.goal else "[green]yes[/]" if row.met else "[red]no[/]"
        table.add_row(row.what, peer, f"{_figure(row.ours)} {row.unit}", row.goal, met, ratio)
    _console().print(table)


def show_watchers(title: str, found: Sequence[Measured]) -> None:
    table = Table(title=title)
    table.add_column("per scrape")
    for one in found:
        table.add_column(one.name, justify="right")
    shown = {
        "series": lambda one: f"{one.series:,}",
        "bytes": lambda one: f"{one.bytes:,}",
        "wall of the scrape, ms": lambda one: _figure(one.wall_ms),
        "CPU of the watcher, ms": lambda one: _figure(one.cpu_ms),
        "server: execution, ms": lambda one: _figure(one.server.exec_ms),
        "server: + slower probes at their pace, ms": lambda one: _figure(one.server.slow_ms),
        "server: planning, ms": lambda one: _figure(one.server.plan_ms),
        "server: CPU of its backends, ms": lambda one: _figure(one.server.backend_cpu_ms),
        "queries": lambda one: f"{one.server.queries:.1f}",
        "rows": lambda one: f"{one.server.rows:,.0f}",
        "sessions": lambda one: str(one.server.sessions),
        "resident, MB": lambda one: f"{one.rss_mb:.0f}",
        "start to first complete scrape, s": lambda one: (
            "" if one.start_seconds is None else f"{one.start_seconds:.2f}"
        ),
    }
    for name, figure in shown.items():
        table.add_row(name, *(figure(one) for one in found))
    _console().print(table)


def show_many(found: Sequence[Many]) -> None:
    table = Table(title="One daemon, many targets, one core")
    table.add_column("")
    for one in found:
        table.add_column("uvloop" if one.uvloop else "asyncio", justify="right")
    shown = {
        "targets up": lambda one: f"{one.up} of {one.targets}",
        "series, bytes of a page": lambda one: f"{one.series:,}, {one.bytes:,}",
        "series per target": lambda one: f"{one.series / one.targets:.0f}",
        "share of the core, scraped / not": lambda one: (
            f"{one.core_share:.1%} / {one.core_share_unscraped:.1%}"
        ),
        "scrape of all, s": lambda one: f"{one.scrape_seconds:.2f}",
        "delay of the data p50 / p99, s": lambda one: (
            f"{one.delay_p50_seconds:.3f} / {one.delay_p99_seconds:.3f}"
        ),
        "start of a cycle late p99, s": lambda one: f"{one.late_p99_seconds:.3f}",
        "cycles skipped as busy": lambda one: str(one.skipped),
        "resident, MB (each target)": lambda one: f"{one.rss_mb:.0f} ({one.rss_mb / one.targets:.2f})",
        "all targets asked after, s": lambda one: f"{one.ready_seconds:.1f}",
        "CPU of starting, ms for each target": lambda one: f"{one.start_cpu_ms:.0f}",
        "sessions": lambda one: str(one.sessions),
        "share of a core that the server used": lambda one: f"{one.server_cpu_share:.1%}",
    }
    for name, figure in shown.items():
        table.add_row(name, *(figure(one) for one in found))
    _console().print(table)


def show_ranking(title: str, one: Measured, most: int = 15) -> None:
    table = Table(title=title)
    for name in ("ms per scrape", "planning ms", "runs per scrape", "plans", "statement"):
        table.add_column(name, justify="left" if name == "statement" else "right")
    for each in one.server.ranking[:most]:
        pace = f"{each.calls:.2f}" + ("" if each.every_seconds is None else f" ({each.every_seconds:g} s)")
        query = " ".join(each.query.split())[-110:]
        table.add_row(f"{each.exec_ms:.3f}", f"{each.plan_ms:.3f}", pace, f"{each.plans:.2f}", query)
    _console().print(table)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=150)
