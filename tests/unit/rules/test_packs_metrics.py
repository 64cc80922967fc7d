"""The built-in packs ask for what the collectors give: each metric, each label, and matches that can match."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from collectors.registry import engines
from daemon.catalogue import catalogue
from daemon.own_metrics import own_metrics
from rules.promql.parse import parse
from rules.promql.tree import Aggregate, Binary, Call, Card, Negation, Node, Range, Selector, Subquery, Text

BUILTIN = Path(__file__).resolve().parents[3] / "rules" / "builtin"
PACKS = sorted(set(BUILTIN.glob("*.yaml")) - set(BUILTIN.glob("*.test.yaml")))
RULES = [
    rule
    for pack in PACKS
    for group in yaml.load(pack.read_text(), yaml.CSafeLoader)["groups"]
    for rule in group["rules"]
]
RECORDED = {rule["record"]: parse(rule["expr"]) for rule in RULES if "record" in rule}
DECLARED = {
    name: frozenset(entry.metric.labels)
    for entry in catalogue(engines().values(), own_metrics())
    for name in (entry.metric.name, *entry.metric.aliases)
}
OURS = frozenset({"target", "cluster"})
SETTINGS = "pg_settings_"
"""One for each setting of a server: no catalogue lists them."""


def series(selector: Selector) -> frozenset[str]:
    """The labels that the selected series have."""
    name = selector.name
    if name in RECORDED:
        return labels(RECORDED[name])
    if not name or name.startswith(SETTINGS):
        assert any(each.name == "__name__" and each.value.startswith(SETTINGS) for each in selector.matchers)
        return OURS
    assert name in DECLARED, f"no collector declares {name}"
    return DECLARED[name] | OURS


def labels(node: Node) -> frozenset[str]:
    """The labels of what an expression gives; fails on a label or a match that cannot be."""
    match node:
        case Selector():
            there = series(node)
            asked = {each.name for each in node.matchers} - {"__name__"}
            assert asked <= there, f"{node.name} has no label {asked - there}"
            return there
        case Range():
            return labels(node.selector)
        case Subquery() | Negation():
            return labels(node.expr)
        case Call():
            return called(node)
        case Aggregate():
            return aggregated(node)
        case Binary():
            return joined(node)
    return frozenset()


def called(node: Call) -> frozenset[str]:
    found = frozenset[str]().union(*map(labels, node.args))
    if node.function in ("label_replace", "label_join"):
        made = node.args[1]
        assert isinstance(made, Text)
        return found | {made.value}
    return frozenset() if node.function in ("scalar", "vector", "time") else found


def aggregated(node: Aggregate) -> frozenset[str]:
    there = labels(node.expr)
    assert node.grouping <= there, f"{node.op}: there is no label {node.grouping - there}"
    if node.op in ("topk", "bottomk"):
        return there
    kept = there - node.grouping if node.without else node.grouping
    return kept | {node.param.value} if isinstance(node.param, Text) else kept


def joined(node: Binary) -> frozenset[str]:
    lhs, rhs = labels(node.lhs), labels(node.rhs)
    match = node.matching
    if match is None:
        return lhs | rhs
    if match.on:
        assert match.labels <= lhs & rhs, f"{node.op}: {match.labels - lhs & rhs} is not on both sides"
    elif node.op != "or":
        assert lhs - match.labels == rhs - match.labels, (
            f"{node.op}: {(lhs ^ rhs) - match.labels} is on one side"
        )
        assert match.labels <= lhs | rhs, f"{node.op}: {match.labels - lhs - rhs} is on neither side"
    match match.card:
        case Card.MANY_TO_MANY:
            return lhs | rhs if node.op == "or" else lhs
        case Card.ONE_TO_ONE:
            return match.labels if match.on else lhs - match.labels
        case Card.MANY_TO_ONE:
            assert frozenset(match.include) <= rhs
            return lhs | frozenset(match.include)
        case Card.ONE_TO_MANY:
            assert frozenset(match.include) <= lhs
            return rhs | frozenset(match.include)


def named(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_a_rule_asks_for_metrics_and_labels_that_are_there_and_matches_what_can_match(
    rule: dict[str, Any],
) -> None:
    found = labels(parse(rule["expr"]))
    for text in (rule.get("annotations") or {}).values():
        named_labels = set(re.findall(r"\$labels\.(\w+)", text))
        assert named_labels <= found, f"the alert has no label {named_labels - found}"


@pytest.mark.parametrize(
    "expr",
    [
        "pg_upp == 0",
        'pg_up{slot_name="a"} == 0',
        "sum by (slot_name) (pg_up)",
        "pg_replication_slots_active == 0 and pg_replication_is_replica == 0",
        "pg_replication_slots_active and on (target, state) pg_replication_state",
        "pg_replication_slots_active and ignoring (slot_name) pg_replication_is_replica",
    ],
)
def test_what_can_never_match_is_found(expr: str) -> None:
    with pytest.raises(AssertionError):
        labels(parse(expr))
