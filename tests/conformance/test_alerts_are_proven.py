"""No alert of the built-in packs is without a test in which a real server's trouble makes it fire."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKS = sorted(
    path for path in (ROOT / "rules" / "builtin").glob("*.yaml") if not path.name.endswith(".test.yaml")
)
TESTS = ROOT / "tests" / "integration"
WAYS = {"caused", "replayed"}


def alerts() -> Iterator[str]:
    """Give the name of each alert once."""
    groups = [group for path in PACKS for group in yaml.safe_load(path.read_text())["groups"]]
    yield from dict.fromkeys(rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule)


def proofs() -> Iterator[tuple[str, str, str]]:
    """Give alert, way and test for all that `tests/fixtures/proofs.py` decorates."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef):
                for way, alert in _decorated(node):
                    yield alert, way, f"{path.relative_to(ROOT)}::{node.name}"


def _decorated(node: ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    for each in node.decorator_list:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in WAYS:
            yield from ((each.func.id, argument.value) for argument in each.args)  # type: ignore[attr-defined]


PROVEN = list(proofs())


@pytest.mark.parametrize("alert", list(alerts()))
def test_an_alert_was_seen_to_fire_over_a_real_server(alert: str) -> None:
    assert any(proven == alert for proven, _, _ in PROVEN), (
        "no test of tests/integration says with @caused or @replayed that it makes this alert fire"
    )


def test_a_proof_names_an_alert_that_there_is() -> None:
    known = set(alerts())
    assert [proof for proof in PROVEN if proof[0] not in known] == []


def test_a_proof_stands_at_a_test() -> None:
    assert [test for _, _, test in PROVEN if not test.split("::")[1].startswith("test_")] == []
