"""Alerts over random timelines: at every minute ALERTS and ALERTS_FOR_STATE are what promtool says they are."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from rules.load import load
from rules.testing import read, run
from tests.fixtures.missing import missing

MINUTES = 60
EXPRESSIONS = ("ALERTS", "ALERTS_FOR_STATE", "recorded", "count_over_time(ALERTS[4m40s])")


def values(chance: random.Random) -> str:
    """Stretches of one value, of nothing, and ends."""
    words: list[str] = []
    while len(words) < MINUTES:
        length = chance.choice([1, 1, 2, 3, 7])
        words += [chance.choice(["0", "1", "1", "2", "_", "stale", "NaN"])] * length
    return " ".join(["_", *words[:MINUTES]])


def rules(chance: random.Random) -> str:
    spans = ["0s", "1m", "90s", "3m", "5m"]
    made: list[dict[str, object]] = [{"record": "recorded", "expr": "up > 1", "labels": {"l": "x"}}]
    for name in "ABC":
        rule: dict[str, object] = {
            "alert": name,
            "expr": chance.choice(["up > 0", "up == 1", "up", "sum(up) > 2", "absent(up{i='a'})"]),
        }
        rule["for"], rule["keep_firing_for"] = chance.choice(spans), chance.choice(spans)
        rule["labels"] = chance.choice([{}, {"v": "{{ $value }}"}, {"severity": "page"}])
        made.append(rule)
    return yaml.safe_dump({"groups": [{"name": "g", "limit": chance.choice([0, 0, 3]), "rules": made}]})


def asking(chance: random.Random) -> str:
    asked = [
        {"expr": expression, "eval_time": f"{minute}m"}
        for minute in range(MINUTES + 6)
        for expression in EXPRESSIONS
    ]
    series = [{"series": f'up{{i="{each}"}}', "values": values(chance)} for each in "abc"]
    # Never a whole lookback old at an evaluation: that is where Prometheus 2 and 3 differ.
    test = {"interval": "59s901ms", "input_series": series, "promql_expr_test": asked}
    interval = chance.choice(["1m", "1m", "30s"])
    return yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": interval, "tests": [test]})


@pytest.mark.parametrize("seed", range(12))
def test_alerts_are_what_promtool_says(seed: int, tmp_path: Path) -> None:
    tool = shutil.which("promtool") or missing("promtool", "apt-get install prometheus")
    chance = random.Random(seed)
    rule_text, test_text = rules(chance), asking(chance)
    (tmp_path / "rules.yaml").write_text(rule_text)
    (tmp_path / "rules.test.yaml").write_text(test_text)
    command = [tool, "test", "rules", str(tmp_path / "rules.test.yaml")]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    ours = run(read("rules.test.yaml", test_text), load({"rules.yaml": rule_text}))
    assert "".join(f"{each}\n" for each in ours) == said.removeprefix("  FAILED:\n")
    assert len(ours) >= 1
