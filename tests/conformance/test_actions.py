"""What every action has to be, whoever wrote it; plans are looked at where tests make them (`sound`)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actions.action import Action
from actions.model import ActionClass
from actions.policies.parameters import parameters_asked, typed
from actions.registry import actions
from daemon.cli import app
from daemon.docs_actions import markdown, shown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "actions.md"
EVERY = tuple(actions().values())


@pytest.fixture(params=EVERY, ids=lambda action: action.info.name)
def action(request: pytest.FixtureRequest) -> Action:
    return request.param


def test_it_is_described_in_full(action: Action) -> None:
    info = action.info
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)?", info.name)
    assert info.version >= 1
    assert info.name.partition(".")[0] == (info.engine or info.name.partition(".")[0])
    for text in (info.title, info.help, info.verification, *info.steps):
        assert text.strip() == text
        assert text
    assert info.help.endswith(".")
    assert info.steps
    assert info.action_class in ActionClass


def test_its_parameters_hold_what_they_say(action: Action) -> None:
    names = [one.name for one in action.info.parameters]
    assert len(names) == len(set(names))
    for one in action.info.parameters:
        assert one.help.endswith(".")
        assert not (one.required and one.default is not None)
        assert bool(one.choices) == (one.type == "choice")
        if one.default is not None and one.type != "duration":
            assert typed(one, one.default) == one.default
        if one.type == "duration" and one.default is not None:
            assert typed(one, shown(one)) == one.default
    asked = parameters_asked(action.info, {})
    assert bool(asked.problems) == any(one.required for one in action.info.parameters)


def test_its_operations_are_there(action: Action) -> None:
    assert action.operations
    if any(one.undo for one in action.operations.values()):
        assert action.info.undo


def test_the_name_is_the_key() -> None:
    assert [name for name, _ in actions().items()] == [action.info.name for action in EVERY]


def test_the_page_is_what_the_program_declares() -> None:
    made = markdown([action.info for action in EVERY])
    assert PAGE.read_text(encoding="utf-8") == made, "docs/actions.md is stale: run `make docs`"


def test_the_command_lists_them_all() -> None:
    run = CliRunner().invoke
    listed = run(app, ["actions"])
    assert listed.exit_code == 0, listed.output
    assert all(action.info.name in listed.output for action in EVERY)
    found = json.loads(run(app, ["actions", "--output", "json"]).output)
    assert [one["name"] for one in found] == [action.info.name for action in EVERY]
    assert found[0].keys() >= {"action_class", "parameters", "steps", "undo", "verification", "grants"}
    assert run(app, ["actions", "--output", "markdown"]).output == PAGE.read_text(encoding="utf-8")


def test_the_command_finds_by_part_and_pattern() -> None:
    run = CliRunner().invoke
    assert "postgresql.analyze" not in run(app, ["actions", "vacuum"]).output
    assert "postgresql.analyze" in run(app, ["actions", "*.an*"]).output
    missed = run(app, ["actions", "postgresql.vacum"])
    assert missed.exit_code == 1
    assert "postgresql.vacuum" in missed.output
