"""The policies that come with the program fit its packs and its actions, and only advise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actions.model import Mode
from actions.policies.decide import decide
from actions.policies.load import load
from actions.policies.matchers import values_of
from actions.policies.parameters import resolve_parameters
from actions.policy import Policy
from daemon import config as configuration
from daemon.config import Config
from daemon.config.policy_files import catalogue
from tests.fixtures.policies import NOW

POLICIES = load({}, catalogue({}), NOW, builtin=True).policies
LABELS = {
    "target": "shop", "datname": "shop", "schemaname": "public", "relname": "orders", "indexrelname": "orders_key",
    "slot_name": "standby_1", "severity": "warning",
}  # fmt: skip
"""What alerts on a database, a table, an index and a slot have among them."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path: Path = tmp_path_factory.mktemp("builtin") / "config.yaml"
    path.write_text("targets: [{name: shop, engine: postgresql}]\n")
    return configuration.load(path)


def alerts_of(policy: Policy) -> list[str]:
    return sorted(values_of(policy.matches, "alertname") or ())


@pytest.mark.parametrize("policy", POLICIES.policies, ids=lambda policy: policy.name)
def test_each_names_alerts_of_the_packs_and_only_advises(policy: Policy, config: Config) -> None:
    alerts = {rule.name for group in config.groups for rule in group.rules if rule.is_alert}
    assert alerts_of(policy)
    assert set(alerts_of(policy)) <= alerts
    assert policy.mode is Mode.ADVISE
    assert policy.source == "rules"
    assert re.fullmatch(r"builtin-[a-z-]+", policy.name)


@pytest.mark.parametrize("policy", POLICIES.policies, ids=lambda policy: policy.name)
def test_each_is_reached_by_its_alerts_and_has_the_parameters_it_needs(policy: Policy) -> None:
    for name in alerts_of(policy):
        labels = LABELS | {"alertname": name}
        assert decide(POLICIES, labels, "rules", "shop", Mode.AUTO).policy is policy
        found = resolve_parameters(catalogue({})[policy.action], policy.parameters, labels)
        assert found.problems == ()


def test_an_alert_from_elsewhere_reaches_none_of_them() -> None:
    for policy in POLICIES.policies:
        for name in alerts_of(policy):
            assert decide(POLICIES, LABELS | {"alertname": name}, "alertmanager", "shop").policy is None
