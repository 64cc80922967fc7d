"""The page at /: where to go from here."""

from __future__ import annotations

from html import escape

from aiohttp import web

from daemon.http import intake
from daemon.known import TargetState
from daemon.snapshot import Snapshot

_TARGETS_MAX = 200
_LINKS = (
    ("/metrics", "metrics for Prometheus; ?target=NAME and ?collect=PROBE choose some"),
    ("/readyz", "whether what is shown can be relied on"),
    ("/livez", "whether the daemon runs"),
    ("/api/v1/targets", "targets and how their probes fare, JSON"),
    ("/api/v1/series", "series as they are right now, JSON; ?target=NAME&match=NAME*&limit=N&offset=N"),
    ("/api/v1/metrics", "every metric there can be, JSON"),
    ("/api/v1/alerts", "alerts that are pending or firing, as Prometheus shows them"),
    ("/api/v1/rules", "rules and how they fare, as Prometheus shows them; ?type=alert|record"),
    ("/api/v1/statements", "texts of a target's statements, JSON; ?target=NAME"),
    ("/api/v1/plans", "what was, is and would be done, JSON; ?state=STATE&target=NAME&limit=N"),
    ("/api/v1/actions", "what can be done at all, JSON"),
    ("/api/v1/stop", "what keeps actions from being done, JSON"),
    ("/api/v1/shadow", "what would have been done without asking, JSON; ?since=UNIX-SECONDS"),
)


def page(snapshot: Snapshot) -> web.Response:
    """Return the page; it needs nothing from anywhere else."""
    links = "".join(f'<li><a href="{path}">{path}</a> {escape(what)}</li>' for path, what in _LINKS)
    states = list(snapshot.states().values())
    rows = "".join(_row(state) for state in states[:_TARGETS_MAX])
    more = f"<p>and {len(states) - _TARGETS_MAX} more</p>" if len(states) > _TARGETS_MAX else ""
    links += f"<li>POST {intake.PATH} takes alerts: the webhook for Alertmanager</li>"
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Database Architect</title></head>'
        f"<body><h1>Database Architect</h1><ul>{links}</ul><table>"
        "<tr><th>target</th><th>engine</th><th>state</th><th>role</th><th>version</th></tr>"
        f"{rows}</table>{more}</body></html>"
    )
    return web.Response(text=text, content_type="text/html")


def _row(state: TargetState) -> str:
    up = state.up
    cause = f" ({up.failure.cause})" if up and up.failure else ""
    word = "not asked yet" if up is None else "up" if up.up else f"down{cause}"
    cells = (state.name, state.target.engine, word, up.role if up else "", up.version if up else "")
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
