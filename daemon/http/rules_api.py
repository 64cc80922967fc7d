"""Answers /api/v1/alerts and /api/v1/rules in the shapes of Prometheus' HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from daemon.http.gate import Refused
from daemon.http.query import Query
from daemon.judge.bench import Verdict
from daemon.judge.judge import Judged
from daemon.moment import moment
from rules.group import RuleResult
from rules.model import Alert, AlertState

_TYPES = {"": None, "alert": True, "record": False}
_TRUE = ("1", "t", "true", "y", "yes")


class RulesApi:
    """Shows what the judge found; `received` gives alerts that others sent us, in the API's shape.

    An alert of ours that an Alertmanager sends back has our labels and `external_labels`: it is shown once.
    """

    def __init__(
        self,
        judged: Callable[[], Judged],
        received: Callable[[], Sequence[dict[str, Any]]] = tuple,
        external_labels: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._judged = judged
        self._received = received
        self._external_labels = external_labels

    async def alerts(self, request: web.Request) -> web.Response:
        """Answer with every alert that is pending or firing."""
        Query(request, ())
        returned = {_name(each["labels"]): each for each in self._received()}
        external = self._external_labels()
        own = []
        for verdict in self._judged().verdicts.values():
            for rule in verdict.result.rules:
                for alert in rule.alerts:
                    # One that is over here is over, though its Alertmanager may not have said so yet.
                    echo = returned.pop(_name({**external, **alert.labels.as_dict()}), None)
                    if alert.state is not AlertState.INACTIVE:
                        own.append(_with_sources(alert, echo))
        return _success({"alerts": [*own, *returned.values()]})

    async def rules(self, request: web.Request) -> web.Response:
        """Answer with every group, its rules, and how they fared."""
        query = Query(
            request,
            (
                "type",
                "rule_name",
                "rule_name[]",
                "rule_group",
                "rule_group[]",
                "file",
                "file[]",
                "exclude_alerts",
            ),
        )
        kind = query.text("type")
        if kind not in _TYPES:
            raise Refused(400, f"type {kind[:50]!r} is not known", "alert or record")
        names, groups, files = (
            {*query.all(key), *query.all(f"{key}[]")} for key in ("rule_name", "rule_group", "file")
        )
        bare = query.text("exclude_alerts").lower() in _TRUE
        found = []
        for verdict in self._judged().verdicts.values():
            group = verdict.result.group
            if (groups and group.name not in groups) or (files and group.file not in files):
                continue
            rules = [
                rule
                for rule in verdict.result.rules
                if _TYPES[kind] in (None, rule.rule.is_alert) and (not names or rule.rule.name in names)
            ]
            if rules or not (names or kind):
                found.append(_group(verdict, rules, bare=bare))
        return _success({"groups": found})


def _name(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


def _with_sources(alert: Alert, echo: Mapping[str, Any] | None) -> dict[str, Any]:
    if echo is None:
        return {**_alert(alert), "sources": ["rules"]}
    told = {key: echo[key] for key in ("fingerprint", "receivedFrom")}
    return {**_alert(alert), "sources": ["rules", *echo["sources"]], **told}


def _success(data: dict[str, Any]) -> web.Response:
    return web.json_response({"status": "success", "data": data})


def _group(verdict: Verdict, rules: Iterable[RuleResult], *, bare: bool) -> dict[str, Any]:
    group = verdict.result.group
    return {
        "name": group.name,
        "file": group.file,
        "rules": [_rule(rule, verdict, bare=bare) for rule in rules],
        "interval": verdict.interval_seconds,
        "limit": group.limit,
        "evaluationTime": verdict.result.seconds,
        "lastEvaluation": moment(verdict.at),
    }


def _rule(result: RuleResult, verdict: Verdict, *, bare: bool) -> dict[str, Any]:
    rule = result.rule
    shown: dict[str, Any] = {
        "name": rule.name,
        "query": rule.expr,
        "labels": {name: each.text for name, each in rule.labels},
        "health": "err" if result.failure else "ok",
        "evaluationTime": result.seconds,
        "lastEvaluation": moment(verdict.at),
        "type": "alerting" if rule.is_alert else "recording",
    }
    if result.failure:
        shown["lastError"] = result.failure
    if rule.is_alert:
        shown |= {
            "state": result.state.value,
            "duration": rule.for_ms / 1000,
            "keepFiringFor": rule.keep_firing_for_ms / 1000,
            "annotations": {name: each.text for name, each in rule.annotations},
            "alerts": [] if bare else [_alert(alert) for alert in _alive(result)],
        }
    return shown


def _alive(result: RuleResult) -> Iterable[Alert]:
    return (alert for alert in result.alerts if alert.state is not AlertState.INACTIVE)


def _alert(alert: Alert) -> dict[str, Any]:
    shown = {
        "labels": alert.labels.as_dict(),
        "annotations": alert.annotations,
        "state": alert.state.value,
        "activeAt": moment(alert.active_at_ms / 1000),
        "value": go_exponent(alert.value),
    }
    if alert.keep_firing_since_ms is not None:
        shown["keepFiringSince"] = moment(alert.keep_firing_since_ms / 1000)
    if alert.held_since_ms is not None:
        shown["unobservedSince"] = moment(alert.held_since_ms / 1000)
    return shown


def go_exponent(value: float) -> str:
    """Write a number as Prometheus' API does: Go's shortest exponent form."""
    if value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    digits, _, exponent = f"{value!r}".replace("E", "e").partition("e")
    sign = "-" if digits.startswith("-") else ""
    whole, _, part = digits.lstrip("-").partition(".")
    bare = (whole + part).lstrip("0")
    if not bare:
        return f"{sign}0e+00"
    leading = len(whole + part) - len(bare)
    power = len(whole) - 1 - leading + int(exponent or 0)
    bare = bare.rstrip("0") or "0"
    mantissa = bare[0] + (f".{bare[1:]}" if len(bare) > 1 else "")
    return f"{sign}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
